/* `bandwidth` of azsyncd.yaml and of a mapping. A timetable's entries are laid out minute by minute over one week,
 * which finds what overlaps, whatever days and midnights are in between, and is then told again as few spans. */
#include "config/bandwidth.h"

#include "config/parts.h"
#include "config/value.h"
#include "util/clock.h"

#include <string.h>
#include <time.h>

#define RATE_LEAST (UINT64_C(1) << 10)
#define RATE_MOST (UINT64_C(1) << 40)
#define DAY 1440u
#define WEEK (7 * DAY)

typedef struct Entry {
        bool days[7]; /* from Monday */
        unsigned from, to;
} Entry;

static int read_rate(ConfigReader *c, const Node *n, const char *what, uint64_t *ret) {
        uint64_t rate = 0;

        if (n->kind != NODE_SCALAR)
                return config_refuse(c, n, "bandwidth", "expected %s", what);
        if (strcmp(n->text, "unlimited") != 0 &&
            (!size_parse(n->text, "/s", &rate) || rate < RATE_LEAST || rate > RATE_MOST))
                return config_refuse(c, n, "bandwidth", "\"%s\" is not right; expected %s (from 1KiB/s to 1TiB/s)",
                                     SHOWN(n->text), what);
        *ret = rate;
        return 0;
}

/* Mon, in any case; -1: none. */
static int parse_day(const char **at) {
        static const char names[] = "MonTueWedThuFriSatSun";

        for (int i = 0; i < 7; i++)
                if (strncasecmp(*at, names + (ptrdiff_t) 3 * i, 3) == 0) {
                        *at += 3;
                        return i;
                }
        return -1;
}

/* Mon, Mon-Fri, Sat-Mon, Mon,Wed,Fri-Sat. */
static bool parse_days(const char **at, bool ret[static 7]) {
        do {
                int first = parse_day(at), last = first;

                if (first >= 0 && **at == '-') {
                        (*at)++;
                        last = parse_day(at);
                }
                if (first < 0 || last < 0)
                        return false;
                for (int day = first; ret[day] = true, day != last; day = (day + 1) % 7)
                        ;
        } while (**at == ',' && (*at)++);
        return true;
}

/* 08:00, 24:00 */
static bool parse_time(const char **at, unsigned *ret) {
        const char *t = *at;

        for (unsigned i = 0; i < 5; i++)
                if (i == 2 ? t[i] != ':' : t[i] < '0' || t[i] > '9')
                        return false;
        *ret = (unsigned) ((t[0] - '0') * 10 + t[1] - '0') * 60 + (unsigned) ((t[3] - '0') * 10 + t[4] - '0');
        *at += 5;
        return t[3] <= '5' && *ret <= DAY;
}

/* "Mon-Fri 08:00-18:00", "Sat-Sun", "22:00-06:00". */
static bool parse_entry(const char *text, Entry *ret) {
        bool days = *text < '0' || *text > '9';

        *ret = (Entry){ .to = DAY };
        if (days && !parse_days(&text, ret->days))
                return false;
        for (unsigned i = 0; i < 7 && !days; i++)
                ret->days[i] = true;
        if (days && *text == '\0')
                return true;
        if (days && *text++ != ' ')
                return false;
        while (*text == ' ')
                text++;
        if (!parse_time(&text, &ret->from) || *text++ != '-' || !parse_time(&text, &ret->to) || *text != '\0')
                return false;
        return ret->from < DAY && ret->to > 0 && ret->from != ret->to;
}

/* `owners` holds, for each minute of the week, the entry that it belongs to; 0: none. */
static int lay_out(ConfigReader *c, const Node *map, size_t which, const Entry *e, uint16_t owners[static WEEK]) {
        unsigned length = e->to > e->from ? e->to - e->from : e->to + DAY - e->from;

        for (unsigned day = 0; day < 7; day++)
                for (unsigned k = 0; k < length && e->days[day]; k++) {
                        uint16_t *owner = &owners[(day * DAY + e->from + k) % WEEK];

                        if (*owner == which + 1) /* "Mon,Mon" */
                                continue;
                        if (*owner != 0)
                                return config_refuse(c, map->items[2 * which], "bandwidth", "\"%s\" overlaps \"%s\"",
                                                     SHOWN(map->items[2 * which]->text),
                                                     SHOWN(map->items[(size_t) 2 * (*owner - 1U)]->text));
                        *owner = (uint16_t) (which + 1);
                }
        return 0;
}

static int tell(ConfigReader *c, const Node *map, const uint16_t owners[static WEEK], const uint64_t *rates,
                Bandwidth *ret) {
        size_t n = 0;

        for (unsigned i = 0; i < WEEK; i++)
                n += owners[i] != 0 && (i == 0 || owners[i] != owners[i - 1]);
        ret->spans = calloc(n + 1, sizeof(*ret->spans));
        if (!ret->spans)
                return config_refuse(c, map, "bandwidth", "out of memory");
        for (unsigned i = 0; i < WEEK; i++) {
                if (owners[i] == 0)
                        continue;
                if (i == 0 || owners[i] != owners[i - 1])
                        ret->spans[ret->n_spans++] =
                                (BandwidthSpan){ .from = (uint16_t) i, .rate = rates[owners[i] - 1] };
                ret->spans[ret->n_spans - 1].to = (uint16_t) (i + 1);
        }
        return 0;
}

int bandwidth_read(ConfigReader *c, const Node *n, const char *where, Bandwidth *ret) {
        _cleanup_free_ uint64_t *rates = NULL;
        uint16_t owners[WEEK] = { 0 };
        int r = 0;

        if (n->kind != NODE_MAP || n->n == 0)
                return read_rate(c, n, schema_expects(where, "bandwidth"), &ret->rate);
        rates = calloc(n->n / 2, sizeof(*rates));
        if (!rates)
                return config_refuse(c, n, "bandwidth", "out of memory");
        for (size_t i = 0; i < n->n / 2; i++) {
                const Node *key = n->items[2 * i], *value = n->items[2 * i + 1];
                bool rest = strcmp(key->text, "default") == 0;
                Entry e;

                if (!rest && !parse_entry(key->text, &e))
                        r = config_refuse(c, key, "bandwidth",
                                          "\"%s\" is not right; expected days and a time such as \"Mon-Fri "
                                          "08:00-18:00\", \"Sat,Sun\" or \"22:00-06:00\", or default",
                                          SHOWN(key->text));
                else if (!rest && lay_out(c, n, i, &e, owners) < 0)
                        r = -EINVAL;
                if (read_rate(c, value, "unlimited, or a rate such as 20MiB/s", rest ? &ret->rate : &rates[i]) < 0)
                        r = -EINVAL;
        }
        return r < 0 ? r : tell(c, n, owners, rates, ret);
}

uint64_t bandwidth_at(const Bandwidth *b, unsigned minute) {
        for (size_t i = 0; i < b->n_spans; i++)
                if (minute >= b->spans[i].from && minute < b->spans[i].to)
                        return b->spans[i].rate;
        return b->rate;
}

unsigned bandwidth_minute(int64_t wall_ns) {
        time_t t = (time_t) (wall_ns / NSEC_PER_SEC);
        struct tm tm = { 0 };

        tzset(); /* else a zone that is set while we run would never be noticed */
        (void) localtime_r(&t, &tm);
        return (unsigned) ((tm.tm_wday + 6) % 7) * DAY + (unsigned) tm.tm_hour * 60 + (unsigned) tm.tm_min;
}
