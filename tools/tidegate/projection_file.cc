#include "tools/tidegate/projection_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "eventstore/base/text.h"
#include "eventstore/base/whole_file.h"

namespace tidegate {
namespace {

// A definition with its script; the gateway says it, too.
constexpr std::size_t kDefinitionBytesMax = std::size_t{256} << 10;

// What has no end in sight is read only as far as a definition may go.
Result<std::string> text_of_stream(std::istream& stream, const std::string& path) {
  std::string bytes(kDefinitionBytesMax + 1, '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const auto size = static_cast<std::size_t>(stream.gcount());
  if (stream.bad()) return Error{Code::kBadArgument, fmt::format("cannot read '{}'", path)};
  if (size > kDefinitionBytesMax) {
    return Error{Code::kBadArgument,
                 fmt::format("'{}' has more than {} bytes: a definition has not", path,
                             kDefinitionBytesMax)};
  }
  bytes.resize(size);
  return bytes;
}

// Standard input, `/dev/stdin` or `<(command)`: read once, and in no folder that means anything.
bool is_pipe_or_device(const std::string& path) {
  std::error_code ignored;
  const auto type = std::filesystem::status(path, ignored).type();
  return type == std::filesystem::file_type::fifo || type == std::filesystem::file_type::character;
}

Result<std::string> bytes_of_file(const std::string& path) {
  if (path == "-") return text_of_stream(std::cin, "standard input");
  if (is_pipe_or_device(path)) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) return Error{Code::kBadArgument, fmt::format("cannot read '{}'", path)};
    return text_of_stream(stream, path);
  }
  auto file = read_whole_file(path, kDefinitionBytesMax);
  if (!file) return Error{Code::kBadArgument, file.error().message};
  return std::move(file->bytes);
}

Result<std::string> text_of_file(const std::string& path) {
  Result<std::string> bytes = bytes_of_file(path);
  if (!bytes) return bytes;
  if (Status text = check_text(path == "-" ? "standard input" : path, *bytes); !text)
    return text.error();
  return bytes;
}

// Where the `line`th line of the text begins, from 1; the end when there are fewer.
std::size_t begin_of_line(std::string_view text, std::size_t line) {
  std::size_t begin = 0;
  for (; line > 1; --line) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return text.size();
    begin = end + 1;
  }
  return begin;
}

bool is_control(char c) {
  return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7F;
}

std::string escaped(std::string_view script, bool keeps_line_feeds) {
  std::string text;
  for (const char c : script) {
    if (c == '\n') {
      text += keeps_line_feeds ? "\n" : "\\n";
    } else if (is_control(c)) {
      fmt::format_to(std::back_inserter(text), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      if (c == '\\' || c == '"') text += '\\';
      text += c;
    }
  }
  return text;
}

// Literal text, so that `projection info --definition` shows the script as it is; one that holds
// what literal text cannot needs the form with escapes.
std::string toml_string(std::string_view script) {
  bool is_literal = script.find("'''") == std::string_view::npos && !script.ends_with('\'');
  for (const char c : script) is_literal = is_literal && (c == '\n' || !is_control(c));
  if (is_literal) return fmt::format("'''\n{}'''", script);
  return fmt::format("\"\"\"\n{}\"\"\"", escaped(script, true));
}

// What a definition says of itself and of its script.
struct Mentions {
  std::string name;
  std::string script_file;
  std::size_t first_line = 0;  // of `script_file`
  std::size_t last_line = 0;
  bool has_script = false;
};

// Nothing for text that is not TOML.
Mentions mentions_of(const std::string& text) {
  // toml++ reports by exceptions; this is where they end.
  try {
    const toml::table table = toml::parse(text);
    Mentions found;
    found.name = table["name"].value_or(std::string());
    found.has_script = table.contains("script");
    const toml::node* node = table.get("script_file");
    const auto path = node == nullptr ? std::nullopt : node->value<std::string>();
    if (!path) return found;
    found.script_file = *path;
    found.first_line = node->source().begin.line;
    found.last_line = node->source().end.line;
    return found;
  } catch (const toml::parse_error&) {
    return {};
  }
}

// The lines from `first` to `last` with a number sign in front of each.
std::string commented_out(const std::string& text, const Mentions& mentions) {
  std::string out = text.substr(0, begin_of_line(text, mentions.first_line));
  for (std::size_t line = mentions.first_line; line <= mentions.last_line; ++line) {
    const std::size_t begin = begin_of_line(text, line);
    out += "# " + text.substr(begin, begin_of_line(text, line + 1) - begin);
  }
  return out + text.substr(begin_of_line(text, mentions.last_line + 1));
}

std::string take_in(const std::string& text, const Mentions& mentions, std::string_view script) {
  std::string behind = commented_out(text, mentions);
  if (!behind.ends_with('\n')) behind += '\n';
  behind += "script = " + toml_string(script) + "\n";
  if (mentions_of(behind).has_script) return behind;
  // Behind the header of a table it would be that table's. A definition with both is wrong, and
  // this keeps the lines true that say so.
  return text.substr(0, begin_of_line(text, mentions.first_line)) + "script = \"" +
         escaped(script, false) + "\"" +
         std::string(mentions.last_line - mentions.first_line + 1, '\n') +
         text.substr(begin_of_line(text, mentions.last_line + 1));
}

}  // namespace

Status check_text(const std::string& path, const std::string& bytes) {
  std::size_t line = 1;
  for (std::size_t begin = 0; begin < bytes.size(); ++line) {
    const std::size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view text = std::string_view(bytes).substr(begin, end - begin);
    if (text.find('\0') != std::string_view::npos)
      return Error{Code::kBadArgument, fmt::format("{}: line {} holds a NUL byte", path, line)};
    if (!is_valid_utf8(text))
      return Error{Code::kBadArgument, fmt::format("{}: line {} is not UTF-8", path, line)};
    begin = end + 1;
  }
  return {};
}

Result<DefinitionFile> with_script(std::string text, const std::string& folder) {
  const Mentions mentions = mentions_of(text);
  DefinitionFile file{"", "", mentions.name, std::move(text)};
  if (mentions.script_file.empty() || mentions.first_line == 0) return file;
  if (mentions.has_script) {
    return Error{Code::kBadArgument,
                 fmt::format("line {}: script_file stands beside script: leave one of them out",
                             mentions.first_line)};
  }
  file.script_path = (std::filesystem::path(folder) / mentions.script_file).string();
  Result<std::string> script = text_of_file(file.script_path);
  if (!script) return script.error();
  file.text = take_in(file.text, mentions, *script);
  return file;
}

Result<DefinitionFile> read_definition(const std::string& path) {
  Result<std::string> text = text_of_file(path);
  if (!text) return text.error();
  const bool is_in_folder = path != "-" && !is_pipe_or_device(path);
  Result<DefinitionFile> file = with_script(
      *std::move(text), is_in_folder ? std::filesystem::path(path).parent_path().string() : "");
  if (!file) return in_file({path, "", "", ""}, file.error());
  file->path = path;
  return file;
}

std::string in_script_file(const DefinitionFile& file, std::string text) {
  if (file.script_path.empty() || file.name.empty()) return text;
  for (const std::string& said : {"definition: " + file.name + ":", file.name + ":"}) {
    const std::size_t at = text.find(said);
    // Only a word of its own is the script's name.
    if (at == std::string::npos || (at > 0 && text[at - 1] != ' ')) continue;
    return text.replace(at, said.size(), file.script_path + ":");
  }
  return text;
}

Error in_file(const DefinitionFile& file, Error error) {
  error.message = fmt::format("{}: {}", file.path, in_script_file(file, std::move(error.message)));
  for (ErrorDetail& detail : error.details)
    detail.description = in_script_file(file, std::move(detail.description));
  return error;
}

}  // namespace tidegate
