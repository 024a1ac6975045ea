#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/append.h"
#include "eventstore/base/result.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate {

// Thread: any (pure functions of this file).

// Checks a CloudEvent (required attributes, sizes, UTF-8, attribute names, times, declared JSON:
// one value of bounded depth) and the stream's name, and makes the canonical bytes that the log
// stores: fields in order, attributes sorted by name, spec_version "1.0", data verbatim. Equal
// events have equal bytes. kBadEvent, kEventTooLarge, kUnsupported, kBadArgument; `details` name
// the field ("event.id").
Result<NewEvent> make_new_event(std::string_view stream, const v1::CloudEvent& event);

// Parses a CloudEvents JSON object (structured mode): unknown members are extension attributes,
// `data` is kept verbatim as text when it is JSON, `data_base64` becomes binary data. kBadEvent
// with the member that is wrong.
Result<v1::CloudEvent> cloud_event_from_json(std::string_view json);

// Appends the CloudEvents JSON object of canonical bytes: context attributes first (specversion,
// id, source, type), then the others in name order, then `data` (verbatim JSON), or a string, or
// `data_base64`. With `minify_data`, white space outside of strings is dropped, so that the object
// is one line.
void append_cloud_event_json(std::string& out, std::string_view canonical, bool minify_data);

// The `time` attribute in microseconds, when it has one.
std::optional<std::int64_t> cloud_event_time_us(const v1::CloudEvent& event);

// Whether a content type means JSON: absent, application/json, */*+json, with parameters.
bool is_json_content_type(std::string_view content_type);

}  // namespace tidegate
