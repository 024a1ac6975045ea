#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eventstore/base/result.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tidegate {

class Interrupt;
class Output;

// Exit codes beside those of the error table (code_info(code).exit_code).
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitIncomplete = 7;
inline constexpr int kExitInterrupted = 130;

// How to speak to the gateway: in the clear, or under TLS.
struct TlsChoice {
  bool is_on = false;
  std::string ca_file = {};           // who signs its certificate; empty: those the system trusts
  std::string certificate_file = {};  // to show to it, with its key; empty: none
  std::string key_file = {};

  bool is_wanted() const { return is_on || !ca_file.empty() || !certificate_file.empty(); }
};

// What every command gets. `run` is set by the subcommand that was chosen on the command line and
// called once by main; its value is the exit code, its error is printed and gives the exit code of
// the error table. Thread: caller serialises.
struct Context {
  Output& output;
  Interrupt& interrupt;
  std::string server = "127.0.0.1:7090";
  // File with the token to send, or the token itself from the environment; both empty: none.
  std::string token_file = {};
  std::string token = {};
  TlsChoice tls = {};
  std::function<Result<int>()> run = {};
};

// Each noun adds its subcommands to the program. The context must outlive the app's parsing and the
// run.
void register_publish(CLI::App& app, Context& context);
void register_import(CLI::App& app, Context& context);
void register_read(CLI::App& app, Context& context);
void register_follow(CLI::App& app, Context& context);
void register_replay(CLI::App& app, Context& context);
void register_stream(CLI::App& app, Context& context);
void register_cursor(CLI::App& app, Context& context);
void register_projection(CLI::App& app, Context& context);
void register_log(CLI::App& app, Context& context);
void register_server(CLI::App& app, Context& context);
void register_token(CLI::App& app, Context& context);
void register_bench(CLI::App& app, Context& context);

// An option whose value is a number from `low` to `high`. CLI11 itself would take "-1" for a very
// large number.
CLI::Option* add_number(CLI::App& app, const std::string& name, std::uint64_t& value,
                        const std::string& description, std::uint64_t low = 1,
                        std::uint64_t high = UINT64_MAX);

// An option whose value is one of these words.
CLI::Option* add_choice(CLI::App& app, const std::string& name, std::string& value,
                        const std::string& description, const std::vector<std::string>& choices);

// Tells the person at the terminal something on stderr: "tidegate: ...".
void say(const std::string& message);

}  // namespace tidegate
