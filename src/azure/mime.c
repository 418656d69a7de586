#include "azure/mime.h"

#include "util/macro.h"

#include <string.h>
#include <strings.h>

typedef struct MimeType {
        const char *extension, *type;
} MimeType;

/* Sorted by extension: it is searched by halves, and a test checks it. */
static const MimeType mime_types[] = {
        { "7z", "application/x-7z-compressed" },
        { "aac", "audio/aac" },
        { "apk", "application/vnd.android.package-archive" },
        { "avi", "video/x-msvideo" },
        { "avif", "image/avif" },
        { "azw", "application/vnd.amazon.ebook" },
        { "bmp", "image/bmp" },
        { "bz2", "application/x-bzip2" },
        { "c", "text/x-c" },
        { "conf", "text/plain" },
        { "css", "text/css" },
        { "csv", "text/csv" },
        { "deb", "application/vnd.debian.binary-package" },
        { "dng", "image/x-adobe-dng" },
        { "doc", "application/msword" },
        { "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
        { "eml", "message/rfc822" },
        { "eot", "application/vnd.ms-fontobject" },
        { "eps", "application/postscript" },
        { "epub", "application/epub+zip" },
        { "flac", "audio/flac" },
        { "gif", "image/gif" },
        { "gz", "application/gzip" },
        { "h", "text/x-c" },
        { "heic", "image/heic" },
        { "heif", "image/heif" },
        { "htm", "text/html" },
        { "html", "text/html" },
        { "ico", "image/vnd.microsoft.icon" },
        { "ics", "text/calendar" },
        { "ini", "text/plain" },
        { "jar", "application/java-archive" },
        { "jpeg", "image/jpeg" },
        { "jpg", "image/jpeg" },
        { "js", "text/javascript" },
        { "json", "application/json" },
        { "jsonl", "application/jsonl" },
        { "jxl", "image/jxl" },
        { "log", "text/plain" },
        { "m4a", "audio/mp4" },
        { "m4v", "video/mp4" },
        { "md", "text/markdown" },
        { "mid", "audio/midi" },
        { "mjs", "text/javascript" },
        { "mkv", "video/x-matroska" },
        { "mov", "video/quicktime" },
        { "mp3", "audio/mpeg" },
        { "mp4", "video/mp4" },
        { "mpeg", "video/mpeg" },
        { "mpg", "video/mpeg" },
        { "odp", "application/vnd.oasis.opendocument.presentation" },
        { "ods", "application/vnd.oasis.opendocument.spreadsheet" },
        { "odt", "application/vnd.oasis.opendocument.text" },
        { "oga", "audio/ogg" },
        { "ogg", "audio/ogg" },
        { "ogv", "video/ogg" },
        { "opus", "audio/opus" },
        { "otf", "font/otf" },
        { "parquet", "application/vnd.apache.parquet" },
        { "pdf", "application/pdf" },
        { "png", "image/png" },
        { "ppt", "application/vnd.ms-powerpoint" },
        { "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" },
        { "ps", "application/postscript" },
        { "psd", "image/vnd.adobe.photoshop" },
        { "py", "text/x-python" },
        { "rar", "application/vnd.rar" },
        { "rpm", "application/x-rpm" },
        { "rtf", "application/rtf" },
        { "sh", "application/x-sh" },
        { "sql", "application/sql" },
        { "sqlite", "application/vnd.sqlite3" },
        { "svg", "image/svg+xml" },
        { "tar", "application/x-tar" },
        { "tgz", "application/gzip" },
        { "tif", "image/tiff" },
        { "tiff", "image/tiff" },
        { "toml", "application/toml" },
        { "tsv", "text/tab-separated-values" },
        { "ttf", "font/ttf" },
        { "txt", "text/plain" },
        { "vcf", "text/vcard" },
        { "wasm", "application/wasm" },
        { "wav", "audio/wav" },
        { "weba", "audio/webm" },
        { "webm", "video/webm" },
        { "webmanifest", "application/manifest+json" },
        { "webp", "image/webp" },
        { "woff", "font/woff" },
        { "woff2", "font/woff2" },
        { "xhtml", "application/xhtml+xml" },
        { "xls", "application/vnd.ms-excel" },
        { "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
        { "xml", "application/xml" },
        { "xz", "application/x-xz" },
        { "yaml", "application/yaml" },
        { "yml", "application/yaml" },
        { "zip", "application/zip" },
        { "zst", "application/zstd" },
};

static int compare_extension(const void *key, const void *entry) {
        return strcasecmp(key, ((const MimeType *) entry)->extension);
}

const char *mime_from_path(const char *path) {
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        const char *dot = strrchr(name, '.');
        const MimeType *found = NULL;

        if (dot && dot > name) /* ".html" is a hidden file without an extension */
                found = bsearch(dot + 1, mime_types, ELEMENTSOF(mime_types), sizeof(mime_types[0]), compare_extension);
        return found ? found->type : "application/octet-stream";
}
