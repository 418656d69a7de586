-- A blob service that answers at once and forgets the bytes, for measuring clients alone: what nginx's one worker runs.
-- It keeps of each blob what a client asks for later (size, properties, metadata, block list), counts requests by kind,
-- and stamps each change with the monotonic clock. It checks no signature and no condition.
--
-- Everything lies in plain tables under "container/name": folders["container/dir"] = { child = is_blob }, so that a
-- listing by folders need not sort what lies elsewhere.
local ffi = require "ffi"
local M = {}

ffi.cdef [[
typedef struct { long sec, nsec; } sink_time;
int clock_gettime(int, sink_time *);
]]

local CLOCK_MONOTONIC = 1
local STAMPS_MAX = 100000
local clock = ffi.new "sink_time"
local blobs, folders, staged, counts, stamps, etag
local delay, away, last = 0, false, 0
local sorted -- what the last whole listing began with, and its names, until a name comes or goes

local function forget()
        blobs, folders, staged, counts, stamps = {}, {}, {}, {}, {}
        sorted = nil
        etag = 0
end
forget()

local function count(kind, n)
        counts[kind] = (counts[kind] or 0) + (n or 1)
end

local function stamp(key)
        ffi.C.clock_gettime(CLOCK_MONOTONIC, clock)
        last = tonumber(clock.sec) + tonumber(clock.nsec) / 1e9
        if #stamps < STAMPS_MAX then
                stamps[#stamps + 1] = string.format("%d.%09d %s", tonumber(clock.sec), tonumber(clock.nsec), key)
        end
end

-- The key of a request's path ("/account/container/blob", encoded), or of a copy's source.
local function key_of(path)
        local rest = path:match "^/[^/]*/(.*)$" or ""
        return (rest:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function link(key, is_blob)
        local parent, name = key:match "^(.*)/([^/]*)$"
        if not parent then
                return
        end
        if not folders[parent] then
                folders[parent] = {}
                link(parent, false)
        end
        folders[parent][name] = folders[parent][name] or is_blob
end

local function unlink(key)
        local parent, name = key:match "^(.*)/([^/]*)$"
        blobs[key], sorted = nil, nil
        folders[parent][name] = folders[key] and false or nil
end

local function xml(text)
        return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }))
end

-- --- answers ---

local function answer(status, body)
        local h = ngx.header
        h["x-ms-request-id"] = "00000000-0000-0000-0000-" .. string.format("%012d", counts.all)
        h["x-ms-version"] = "2021-12-02"
        h["x-ms-client-request-id"] = ngx.var.http_x_ms_client_request_id
        ngx.status = status
        if delay > 0 then
                ngx.sleep(delay)
        end
        if body then
                h["Content-Length"] = #body
                ngx.print(body)
        elseif ngx.req.get_method() ~= "HEAD" then
                h["Content-Length"] = 0
        end
        return ngx.exit(ngx.OK)
end

local function failed(status, code)
        ngx.header["x-ms-error-code"] = code
        ngx.header["Content-Type"] = "application/xml"
        return answer(status, ngx.req.get_method() ~= "HEAD" and
                string.format('<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code></Error>', code))
end

local function quoted(number)
        return string.format('"0x8DC%012X"', number)
end

local function changed(status, blob)
        etag = etag + 1
        blob.etag, blob.modified = etag, ngx.time()
        ngx.header["ETag"] = quoted(blob.etag)
        ngx.header["Last-Modified"] = ngx.http_time(blob.modified)
        return answer(status)
end

-- --- writing ---

local function metadata(headers)
        local lines = {}
        for name, value in pairs(headers) do
                if name:sub(1, 10) == "x-ms-meta-" then
                        lines[#lines + 1] = name:sub(11) .. "=" .. value
                end
        end
        return table.concat(lines, "\n")
end

local function store(key, size, headers)
        blobs[key] = {
                size = size,
                md5 = headers["x-ms-blob-content-md5"] or headers["content-md5"],
                type = headers["x-ms-blob-content-type"] or headers["content-type"] or "application/octet-stream",
                metadata = metadata(headers),
        }
        link(key, true)
        sorted = nil
        stamp(key)
        return blobs[key]
end

local function put_blob(key, headers)
        local size = tonumber(headers["content-length"]) or 0
        count("bytes", size)
        ngx.header["Content-MD5"] = headers["content-md5"]
        return changed(201, store(key, size, headers))
end

local function put_block(key, headers, args)
        local size = tonumber(headers["content-length"]) or 0
        count("bytes", size)
        staged[key] = staged[key] or {}
        staged[key][args.blockid] = size
        ngx.header["Content-MD5"] = headers["content-md5"]
        return answer(201)
end

local function put_block_list(key, headers)
        local old, waiting, size, blocks = blobs[key] and blobs[key].blocks or {}, staged[key] or {}, 0, {}
        for id in (ngx.req.get_body_data() or ""):gmatch "<%u%l+>([^<]+)</%u%l+>" do
                if not waiting[id] and not old[id] then
                        return failed(400, "InvalidBlockList")
                end
                blocks[id] = waiting[id] or old[id]
                blocks[#blocks + 1] = id
                size = size + blocks[id]
        end
        headers["content-md5"] = nil -- the XML's
        staged[key] = nil
        store(key, size, headers).blocks = blocks
        return changed(201, blobs[key])
end

local function copy(key, headers)
        local source = blobs[key_of(headers["x-ms-copy-source"]:match "^%a+://[^/]*([^?]*)" or "")]
        if not source then
                return failed(404, "CannotVerifyCopySource")
        end
        local given = metadata(headers)
        local blob = store(key, source.size, headers)
        blob.md5, blob.type, blob.blocks = source.md5, source.type, source.blocks
        blob.metadata = given ~= "" and given or source.metadata
        ngx.header["x-ms-copy-id"] = "00000000-0000-0000-0000-000000000001"
        ngx.header["x-ms-copy-status"] = "success"
        return changed(headers["x-ms-blob-type"] and 201 or 202, blob)
end

local function put(key, headers, args)
        if args.restype == "container" then
                count "create"
                if folders[key] then
                        return failed(409, "ContainerAlreadyExists")
                end
                folders[key] = {}
                return answer(201)
        end
        if not folders[key:match "^[^/]*"] then
                count "put"
                return failed(404, "ContainerNotFound")
        end
        if args.comp == "block" then
                count "block"
                return put_block(key, headers, args)
        elseif args.comp == "blocklist" then
                count "blocklist"
                return put_block_list(key, headers)
        elseif args.comp then -- metadata, properties, tier
                count(args.comp)
                if not blobs[key] then
                        return failed(404, "BlobNotFound")
                end
                if args.comp == "metadata" then
                        blobs[key].metadata = metadata(headers)
                end
                stamp(key)
                return changed(200, blobs[key])
        elseif headers["x-ms-copy-source"] then
                count "copy"
                return copy(key, headers)
        end
        count "put"
        return put_blob(key, headers)
end

local function delete(key)
        if not blobs[key] then
                return 404
        end
        unlink(key)
        stamp(key)
        return 202
end

-- Deletes in one request: each part is answered under its Content-ID.
local function batch()
        local parts, boundary = {}, "batchresponse_00000000"
        for part in (ngx.req.get_body_data() or ""):gmatch "Content%-ID:.-HTTP/1%.1" do
                local status = delete(key_of(part:match "DELETE ([^ ?]+)" or ""))
                count "batched"
                parts[#parts + 1] = string.format(
                        "--%s\r\nContent-Type: application/http\r\nContent-ID: %s\r\n\r\nHTTP/1.1 %d %s\r\n" ..
                        "x-ms-request-id: %d\r\nx-ms-version: 2021-12-02\r\n%s\r\n", boundary,
                        part:match "^Content%-ID: *([^\r\n]*)", status, status == 202 and "Accepted" or "Not Found",
                        #parts, status == 202 and "" or "x-ms-error-code: BlobNotFound\r\n")
        end
        ngx.header["Content-Type"] = "multipart/mixed; boundary=" .. boundary
        return answer(202, table.concat(parts) .. "--" .. boundary .. "--\r\n")
end

-- --- reading ---

local function head(key, args)
        count "head"
        if args.restype == "container" or not key:find "/" then
                return folders[key] and answer(200) or failed(404, "ContainerNotFound")
        end
        local blob, h = blobs[key], ngx.header
        if not blob then
                return failed(404, "BlobNotFound")
        end
        for name, value in blob.metadata:gmatch "([^=\n]+)=([^\n]*)" do
                h["x-ms-meta-" .. name] = value
        end
        h["Content-Length"], h["Content-Type"], h["Content-MD5"] = blob.size, blob.type, blob.md5
        h["ETag"], h["Last-Modified"] = quoted(blob.etag), ngx.http_time(blob.modified)
        h["x-ms-blob-type"] = "BlockBlob"
        return answer(200)
end

local function get_block_list(key)
        count "get-blocklist"
        local out, old = { '<?xml version="1.0" encoding="utf-8"?><BlockList><CommittedBlocks>' }, blobs[key]
        if not old and not staged[key] then
                return failed(404, "BlobNotFound")
        end
        local function add(id, size)
                out[#out + 1] = string.format("<Block><Name>%s</Name><Size>%d</Size></Block>", id, size)
        end
        for _, id in ipairs(old and old.blocks or {}) do
                add(id, old.blocks[id])
        end
        out[#out + 1] = "</CommittedBlocks><UncommittedBlocks>"
        for id, size in pairs(staged[key] or {}) do
                add(id, size)
        end
        out[#out + 1] = "</UncommittedBlocks></BlockList>"
        ngx.header["Content-Type"] = "application/xml"
        if old then
                ngx.header["ETag"] = quoted(old.etag)
                ngx.header["x-ms-blob-content-length"] = old.size
        end
        return answer(200, table.concat(out))
end

-- The full names below `folder` that begin with `prefix`; with a delimiter, those of one level, folders ending in "/".
local function names_below(folder, prefix, deep, names)
        for child, is_blob in pairs(folders[folder] or {}) do
                local key = folder .. "/" .. child
                local fits = key:sub(1, #prefix) == prefix
                if is_blob and fits then
                        names[#names + 1] = key
                end
                if folders[key] and deep and (fits or prefix:sub(1, #key + 1) == key .. "/") then
                        names_below(key, prefix, deep, names)
                elseif folders[key] and fits and next(folders[key]) then
                        names[#names + 1] = key .. "/"
                end
        end
        return names
end

local function entry(container, key)
        local blob, name = blobs[key], xml(key:sub(#container + 2))
        if not blob then
                return "<BlobPrefix><Name>" .. name .. "</Name></BlobPrefix>"
        end
        return string.format(
                "<Blob><Name>%s</Name><Properties><Last-Modified>%s</Last-Modified><Etag>0x8DC%012X</Etag>" ..
                "<Content-Length>%d</Content-Length><Content-Type>%s</Content-Type><Content-MD5>%s</Content-MD5>" ..
                "<BlobType>BlockBlob</BlobType></Properties><Metadata>%s</Metadata></Blob>",
                name, ngx.http_time(blob.modified), blob.etag, blob.size, xml(blob.type), blob.md5 or "",
                (xml(blob.metadata):gsub("([^=\n]+)=([^\n]*)\n?", "<%1>%2</%1>")))
end

local function list(container, args)
        count "list"
        if not folders[container] then
                return failed(404, "ContainerNotFound")
        end
        local prefix = container .. "/" .. (args.prefix or "")
        local marker, max = args.marker or "", tonumber(args.maxresults) or 5000
        local out, more = {}, ""
        if args.delimiter or not sorted or sorted.prefix ~= prefix then
                local from = args.delimiter and prefix:match "^(.*)/" or container
                sorted = { prefix = not args.delimiter and prefix, names = names_below(from, prefix, not args.delimiter, {}) }
                table.sort(sorted.names)
        end
        for _, key in ipairs(sorted.names) do
                if key >= marker then
                        if #out == max then
                                more = xml(key)
                                break
                        end
                        out[#out + 1] = entry(container, key)
                end
        end
        ngx.header["Content-Type"] = "application/xml"
        return answer(200, '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>' .. table.concat(out) ..
                "</Blobs><NextMarker>" .. more .. "</NextMarker></EnumerationResults>")
end

local function get(key, args)
        if args.comp == "list" then
                return list(key, args)
        elseif args.comp == "blocklist" then
                return get_block_list(key)
        elseif args.restype == "account" then
                count "account"
                ngx.header["x-ms-sku-name"], ngx.header["x-ms-account-kind"] = "Standard_LRS", "StorageV2"
                return answer(200)
        elseif args.restype == "service" then
                count "account"
                return answer(200, '<?xml version="1.0" encoding="utf-8"?><StorageServiceProperties/>')
        elseif args.restype == "container" then
                return head(key, args)
        end
        count "get"
        return failed(404, "BlobNotFound") -- the bytes are not kept
end

-- --- entry points ---

function M.serve()
        if away then
                return ngx.exit(444) -- closed without a word
        end
        ngx.req.read_body()
        count "all"
        local method, args = ngx.req.get_method(), ngx.req.get_uri_args()
        local key = key_of((ngx.var.request_uri:gsub("?.*", "")))
        if method == "PUT" then
                return put(key, ngx.req.get_headers(0), args)
        elseif method == "HEAD" then
                return head(key, args)
        elseif method == "GET" then
                return get(key, args)
        elseif method == "DELETE" then
                count "delete"
                if args.restype == "container" then
                        folders[key] = nil
                        return answer(202)
                end
                return delete(key) == 202 and answer(202) or failed(404, "BlobNotFound")
        elseif method == "POST" and args.comp == "batch" then
                count "batch"
                return batch()
        end
        return failed(400, "UnsupportedHttpVerb")
end

-- What the harness asks and sets: /-/empty, /-/reset, /-/set?delay=SECONDS&away=0, /-/counts, /-/stamps
function M.control()
        local verb, args = ngx.var.uri:match "^/%-/(%a+)", ngx.req.get_uri_args()
        if verb == "empty" then
                forget()
                collectgarbage()
        elseif verb == "reset" then
                counts, stamps = {}, {}
        elseif verb == "set" then
                delay, away = tonumber(args.delay) or delay, (args.away or (away and "1" or "0")) == "1"
        elseif verb == "counts" then
                local out, n, size = {}, 0, 0
                for _, blob in pairs(blobs) do
                        n, size = n + 1, size + blob.size
                end
                for kind, value in pairs(counts) do
                        out[#out + 1] = string.format('"%s": %d', kind, value)
                end
                out[#out + 1] = string.format('"blobs": %d, "size": %.0f, "last": %.6f', n, size, last)
                ngx.print("{", table.concat(out, ", "), "}")
        elseif verb == "stamps" then
                ngx.print(table.concat(stamps, "\n"))
        end
        return ngx.exit(ngx.OK)
end

return M
