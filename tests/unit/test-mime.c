#include "azure/mime.h"

#include "util/macro.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
        const char *path, *type;
} rows[] = {
        { "a.txt", "text/plain" },
        { "deep/er/photo.JPG", "image/jpeg" },
        { "x.jpeg", "image/jpeg" },
        { "x.7z", "application/x-7z-compressed" }, /* the first and the last of the table */
        { "x.zst", "application/zstd" },
        { "x.woff", "font/woff" }, /* one that begins another */
        { "x.woff2", "font/woff2" },
        { "x.c", "text/x-c" },
        { "x.webm", "video/webm" },
        { "x.webmanifest", "application/manifest+json" },
        { "x.html", "text/html" },
        { "x.htm", "text/html" },
        { "x.ht", "application/octet-stream" },
        { "archive.tar.gz", "application/gzip" },
        { "", "application/octet-stream" },
        { "noextension", "application/octet-stream" },
        { "dot.", "application/octet-stream" },
        { ".html", "application/octet-stream" },
        { "dir/.html", "application/octet-stream" },
        { "dir.html/file", "application/octet-stream" },
        { "x.unheard-of", "application/octet-stream" },
        { "x.\xff", "application/octet-stream" },
        { "x.txt\n", "application/octet-stream" },
};

static void test_mime(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_string_equal(mime_from_path(rows[i].path), rows[i].type);
}

/* Each of these must be found: a table out of order would lose some. */
static void test_all_found(void **state) {
        static const char *const known[] = {
                "7z",   "aac",   "apk",   "avi",     "avif", "azw",    "bmp", "bz2",  "c",    "conf",        "css",
                "csv",  "deb",   "dng",   "doc",     "docx", "eml",    "eot", "eps",  "epub", "flac",        "gif",
                "gz",   "h",     "heic",  "heif",    "htm",  "html",   "ico", "ics",  "ini",  "jar",         "jpeg",
                "jpg",  "js",    "json",  "jsonl",   "jxl",  "log",    "m4a", "m4v",  "md",   "mid",         "mjs",
                "mkv",  "mov",   "mp3",   "mp4",     "mpeg", "mpg",    "odp", "ods",  "odt",  "oga",         "ogg",
                "ogv",  "opus",  "otf",   "parquet", "pdf",  "png",    "ppt", "pptx", "ps",   "psd",         "py",
                "rar",  "rpm",   "rtf",   "sh",      "sql",  "sqlite", "svg", "tar",  "tgz",  "tif",         "tiff",
                "toml", "tsv",   "ttf",   "txt",     "vcf",  "wasm",   "wav", "weba", "webm", "webmanifest", "webp",
                "woff", "woff2", "xhtml", "xls",     "xlsx", "xml",    "xz",  "yaml", "yml",  "zip",         "zst",
        };

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                char path[32];

                (void) snprintf(path, sizeof(path), "x.%s", known[i]);
                assert_string_not_equal(mime_from_path(path), "application/octet-stream");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_mime), cmocka_unit_test(test_all_found) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
