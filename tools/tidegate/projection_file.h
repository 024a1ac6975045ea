#pragma once

#include <string>

#include "eventstore/base/result.h"

namespace tidegate {

// A definition, as the gateway takes it. Thread: immutable.
struct DefinitionFile {
  std::string path;         // as it was given; empty: none
  std::string script_path;  // of the script that was taken in; empty: none
  std::string name;         // the projection's; empty: the text does not say it
  std::string text;         // TOML
};

// The definition in a TOML file, with its script taken in. `-` is standard input; a pipe or device
// is read to its end. kBadArgument when a file cannot be read or is no text. Thread: any.
Result<DefinitionFile> read_definition(const std::string& path);

// Takes in `script_file = "FILE"`, whose path is relative to `folder`, as `script`. All lines of
// the text stay where they are, because errors name them: the script comes behind them. Text that
// is not TOML is left to the gateway, which names the line. kBadArgument.
Result<DefinitionFile> with_script(std::string text, const std::string& folder);

// kBadArgument with the file and the line when the bytes are not UTF-8 or hold NUL.
Status check_text(const std::string& path, const std::string& bytes);

// Text about a definition, with the places in a script (`NAME:LINE:`) told as those of its file.
std::string in_script_file(const DefinitionFile& file, std::string text);

// An error of this definition: it names the file.
Error in_file(const DefinitionFile& file, Error error);

}  // namespace tidegate
