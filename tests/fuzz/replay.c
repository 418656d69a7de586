/* Feeds every file named, or in a folder named, to one fuzz target: how corpora replay in each test run, with any
 * compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed_file(const char *path) {
        FILE *f = fopen(path, "rbe");
        uint8_t *data = NULL;
        struct stat st;
        int r = -1;

        /* exactly as large as the content, so that a sanitizer sees a read past its end */
        if (f && fstat(fileno(f), &st) == 0 && (data = malloc(st.st_size > 0 ? (size_t) st.st_size : 1)) &&
            fread(data, 1, (size_t) st.st_size, f) == (size_t) st.st_size) {
                (void) LLVMFuzzerTestOneInput(data, (size_t) st.st_size);
                r = 1;
        } else
                perror(path);
        free(data);
        if (f)
                (void) fclose(f);
        return r;
}

/* The number of inputs, or -1. */
static int feed(const char *path) {
        DIR *dir = opendir(path);
        int n = 0;

        if (!dir)
                return feed_file(path);
        for (struct dirent *entry; (entry = readdir(dir));) {
                char name[4096];

                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
                if (feed_file(name) < 0) {
                        n = -1;
                        break;
                }
                n++;
        }
        (void) closedir(dir);
        return n;
}

int main(int argc, char **argv) {
        int total = 0;

        for (int i = 1; i < argc; i++) {
                int n = feed(argv[i]);

                if (n < 0)
                        return 1;
                total += n;
        }
        (void) printf("%d inputs\n", total);
        return total > 0 ? 0 : 1; /* a corpus that was not found proves nothing */
}
