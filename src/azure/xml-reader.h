/* Reads one XML document of the service by expat: elements are known by a table of steps, everything else is ignored.
 * No DTDs; depth, attributes and the length of a value are bounded (pitfalls 10.9). What a document says is xml.c's
 * business. */
#pragma once

#include "util/buf.h"
#include "util/error.h"

#include <expat.h>

#define XML_DEPTH_MAX 32
#define XML_TEXT_MAX 65536 /* of one element */

/* Where in a document an element stands: numbers of the document's own from XML_BRANCH on, and from XML_LEAF on for
 * elements whose text is wanted. */
enum {
        XML_TOP,
        XML_IGNORED, /* unknown, and everything beneath */
        XML_BRANCH,
        XML_LEAF = 64,
};

typedef struct XmlStep {
        const char *name; /* NULL: any */
        unsigned in, to;  /* places; to 0: the table's end */
} XmlStep;

typedef struct XmlReader XmlReader;
struct XmlReader {
        const XmlStep *steps;
        void (*opened)(XmlReader *rd, unsigned place); /* NULL: of no interest */
        void (*closed)(XmlReader *rd, unsigned place, const char *name);
        void *userdata;
        Error *e;

        /* for those two */
        unsigned places[XML_DEPTH_MAX + 1]; /* of the open elements */
        size_t depth;
        Buf text;     /* of the leaf that is closed */
        bool encoded; /* it said Encoded="true" */

        XML_Parser parser;
        size_t run; /* chars of text since the last tag */
        int r;      /* why it was stopped */
};

/* The whole document, which must be complete. 0, or why not: -EBADMSG, or what xml_reader_stop() was given. */
int xml_reader_run(XmlReader *rd, const char *xml, size_t size);
void xml_reader_stop(XmlReader *rd, int r);
void xml_reader_refuse(XmlReader *rd, const char *why);
