/* An engine with one mapping, called m. */
#pragma once

#include "config-fixture.h"
#include "sync/state.h"

/* The mapping says `more`, too. */
static inline void apply(Engine *engine, const char *more) {
        FILE *f = fopen(at("mappings.d/m.yaml"), "we");
        Error e = ERROR_NULL;
        Loaded l;

        assert_non_null(f);
        assert_true(fprintf(f, "container: files\nfolder: %s/folder\n%s", root, more) > 0);
        assert_int_equal(fclose(f), 0);
        l = load();
        assert_string_equal(buf_text(&l.report), "");
        assert_int_equal(engine_apply(engine, TAKE_PTR(l.config), &e), 0);
        loaded_done(&l);
        assert_int_equal(engine->sync.n_mappings, 1);
}

static inline Engine *make_engine(sd_event *loop) {
        EngineOptions options = { .state_dir = top };
        Error e = ERROR_NULL;
        Engine *engine;

        make_dir("folder", 0755);
        assert_int_equal(engine_new(&engine, loop, &options, &e), 0);
        return engine;
}
