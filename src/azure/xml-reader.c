#include "azure/xml-reader.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#define MAX_ATTRIBUTES 16

void xml_reader_stop(XmlReader *rd, int r) {
        rd->r = r;
        (void) XML_StopParser(rd->parser, XML_FALSE);
}

void xml_reader_refuse(XmlReader *rd, const char *why) {
        xml_reader_stop(rd, error_set(rd->e, -EBADMSG, ERROR_PROTOCOL, 0, "the service's XML: %s", why));
}

static unsigned step(const XmlStep *steps, unsigned in, const char *name) {
        for (; steps->to != XML_TOP; steps++)
                if (steps->in == in && (!steps->name || strcmp(steps->name, name) == 0))
                        return steps->to;
        return XML_IGNORED;
}

static void XMLCALL on_start(void *userdata, const XML_Char *name, const XML_Char **attributes) {
        XmlReader *rd = userdata;
        size_t n = 0;
        unsigned place;

        if (rd->r < 0)
                return;
        if (rd->depth == XML_DEPTH_MAX)
                return xml_reader_refuse(rd, "too deep");
        for (; attributes[n]; n += 2)
                if (n / 2 == MAX_ATTRIBUTES)
                        return xml_reader_refuse(rd, "too many attributes");

        place = step(rd->steps, rd->places[rd->depth], name);
        if (rd->depth == 0 && place == XML_IGNORED)
                return xml_reader_refuse(rd, "not the document that was asked for");
        rd->places[++rd->depth] = place;
        rd->run = 0;
        if (place >= XML_LEAF) {
                buf_clear(&rd->text);
                rd->encoded = false;
                for (n = 0; attributes[n]; n += 2)
                        if (strcmp(attributes[n], "Encoded") == 0)
                                rd->encoded = strcasecmp(attributes[n + 1], "true") == 0;
        }
        if (rd->opened)
                rd->opened(rd, place);
}

static void XMLCALL on_text(void *userdata, const XML_Char *text, int size) {
        XmlReader *rd = userdata;
        int r = 0;

        if (rd->r < 0)
                return;
        rd->run += (size_t) size;
        if (rd->places[rd->depth] >= XML_LEAF)
                r = buf_append(&rd->text, text, (size_t) size);
        if (r == -EMSGSIZE || rd->run > XML_TEXT_MAX)
                xml_reader_refuse(rd, "too long a value");
        else if (r < 0)
                xml_reader_stop(rd, error_oom(rd->e));
}

static void XMLCALL on_end(void *userdata, const XML_Char *name) {
        XmlReader *rd = userdata;
        unsigned place;

        if (rd->r < 0)
                return;
        assert(rd->depth > 0);
        place = rd->places[rd->depth--];
        rd->run = 0;
        rd->closed(rd, place, name);
}

static void XMLCALL on_doctype(void *userdata, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid,
                               int has_internal) {
        xml_reader_refuse(userdata, "a DOCTYPE is not expected");
}

static int parse(XmlReader *rd, const char *xml, size_t size) {
        enum XML_Status status;

        XML_SetUserData(rd->parser, rd);
        XML_SetElementHandler(rd->parser, on_start, on_end);
        XML_SetCharacterDataHandler(rd->parser, on_text);
        XML_SetStartDoctypeDeclHandler(rd->parser, on_doctype);

        status = XML_Parse(rd->parser, xml, (int) size, XML_TRUE);
        if (rd->r < 0)
                return rd->r;
        if (status == XML_STATUS_OK)
                return 0;
        if (XML_GetErrorCode(rd->parser) == XML_ERROR_NO_MEMORY)
                return error_oom(rd->e);
        return error_set(rd->e, -EBADMSG, ERROR_PROTOCOL, 0,
                         "the service's XML is cut or malformed (line %lu, byte %ld: %s)",
                         (unsigned long) XML_GetCurrentLineNumber(rd->parser),
                         (long) XML_GetCurrentByteIndex(rd->parser), XML_ErrorString(XML_GetErrorCode(rd->parser)));
}

int xml_reader_run(XmlReader *rd, const char *xml, size_t size) {
        int r;

        assert(rd && rd->steps && rd->closed && (xml || size == 0));

        if (size >= 3 && memcmp(xml, "\xef\xbb\xbf", 3) == 0) {
                xml += 3;
                size -= 3;
        }
        if (size > INT_MAX)
                return error_set(rd->e, -EBADMSG, ERROR_PROTOCOL, 0, "the service's XML: too long");

        rd->parser = XML_ParserCreate("UTF-8"); /* whatever the document declares */
        if (!rd->parser)
                return error_oom(rd->e);
        rd->text = BUF_INIT(XML_TEXT_MAX);
        r = parse(rd, xml, size);
        buf_done(&rd->text);
        XML_ParserFree(rd->parser);
        return r;
}
