#include "tools/tidegate/event_printer.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/cloudevents/cloud_event.h"
#include "tools/tidegate/event_lines.h"

namespace tidegate {
namespace {

constexpr std::size_t kSequenceColumns = 9;
constexpr std::size_t kTimeColumns = 24;
constexpr std::size_t kStreamColumns = 24;
constexpr std::size_t kTypeColumns = 20;

void append_cell(std::string& out, std::string_view text, std::size_t columns) {
  const std::size_t begin = out.size();
  append_for_terminal(out, text);
  const auto shown =
      static_cast<std::size_t>(std::count_if(out.begin() + static_cast<std::ptrdiff_t>(begin),
                                             out.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  // A long name pushes its row to the right rather than being cut: it may be copied from the
  // screen.
  out.append(columns - std::min(columns, shown) + 2, ' ');
}

std::string data_of(const v1::CloudEvent& event) {
  // The object's last member is the data; the rest is in the row's other columns or belongs to `-o
  // jsonl`.
  v1::CloudEvent bare;
  bare.set_id("-");
  bare.set_source("-");
  bare.set_type("-");
  std::string without;
  append_event_json(without, bare);
  switch (event.data_case()) {
    case v1::CloudEvent::kTextData:
      bare.set_text_data(event.text_data());
      break;
    case v1::CloudEvent::kBinaryData:
      bare.set_binary_data(event.binary_data());
      break;
    default:
      return "";
  }
  if (const auto type = event.attributes().find("datacontenttype");
      type != event.attributes().end()) {
    (*bare.mutable_attributes())["datacontenttype"] = type->second;
  }
  std::string with;
  append_event_json(with, bare);
  for (std::string_view name : {"\"data\":", "\"data_base64\":"}) {
    const std::size_t at = with.find(name);
    if (at != std::string::npos)
      return with.substr(at + name.size(), with.size() - at - name.size() - 1);
  }
  return "";
}

}  // namespace

EventPrinter::EventPrinter(Output& output, bool own_times)
    : output_(output), own_times_(own_times), format_(output.chosen()), columns_(output.columns()) {
  if (format_ == Format::kAuto) format_ = output.is_terminal() ? Format::kTable : Format::kJsonl;
}

void EventPrinter::print(const v1::RecordedEvent& record) {
  if (format_ == Format::kTable) {
    print_row(record);
  } else {
    line_.clear();
    append_event_line(line_, record);
    if (format_ == Format::kJson) output_.write(first_ ? "[\n" : ",\n");
    if (output_.is_terminal()) {
      append_json_for_terminal(output_.buffer(), line_);
    } else {
      output_.write(line_);
    }
    if (format_ == Format::kJsonl) output_.write("\n");
  }
  first_ = false;
}

void EventPrinter::print_row(const v1::RecordedEvent& record) {
  std::string& out = output_.buffer();
  if (first_) {
    append_cell(out, "SEQUENCE", kSequenceColumns);
    append_cell(out, "TIME", kTimeColumns);
    append_cell(out, "STREAM", kStreamColumns);
    append_cell(out, "TYPE", kTypeColumns);
    out += "DATA\n";
  }
  const std::size_t begin = out.size();
  std::int64_t time_us = record.time().seconds() * 1'000'000 + record.time().nanos() / 1000;
  if (own_times_) time_us = cloud_event_time_us(record.event()).value_or(time_us);
  append_cell(out, std::to_string(record.sequence()), kSequenceColumns);
  append_cell(out, format_time(time_us / 1000 * 1000), kTimeColumns);
  append_cell(out, record.stream(), kStreamColumns);
  append_cell(out, record.event().type(), kTypeColumns);
  const std::size_t used = out.size() - begin;
  std::string data;
  append_for_terminal(data, data_of(record.event()));
  constexpr std::size_t kLeast = 20;
  out += cut_to_columns(data, std::max(kLeast, columns_ > used ? columns_ - used : 0));
  out += '\n';
}

void EventPrinter::finish() {
  if (format_ == Format::kJson) output_.write(first_ ? "[]\n" : "\n]\n");
}

}  // namespace tidegate
