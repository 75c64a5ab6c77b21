#include "cli/errors.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/flags.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "nibble/core/json.h"

namespace nibble::cli {
namespace {

struct ExitRow {
  ErrorKind kind;
  IoCause cause;
  int exit_code;
};
constexpr ExitRow kExitRows[] = {{ErrorKind::invalid_argument, IoCause::other, kExitUsage},
                                 {ErrorKind::not_found, IoCause::other, kExitNoInput},
                                 {ErrorKind::corrupt, IoCause::other, kExitData},
                                 {ErrorKind::unsupported, IoCause::other, kExitData},
                                 {ErrorKind::io, IoCause::other, kExitIo},
                                 {ErrorKind::io, IoCause::permission, kExitPermission},
                                 {ErrorKind::io, IoCause::cannot_create, kExitCannotCreate},
                                 {ErrorKind::out_of_memory, IoCause::other, kExitMemory}};

}  // namespace

int exit_code_of(const Error& e) {
  if (e.kind() == ErrorKind::cancelled) return 128 + e.signal();
  for (const ExitRow& r : kExitRows) {
    if (r.kind == e.kind() && r.cause == e.cause()) return r.exit_code;
  }
  return kExitBug;
}

std::string error_text(const Error& e, int exit_code, bool json) {
  const std::string reason = in_flags(e.reason());
  const Error told = Error(e.kind(), reason).at(e.where()).in_file(e.file());
  if (!json)
    return fmt::format("nibble: error[{}]: {}\n", exit_code, printable(told.what(), SIZE_MAX));
  JsonWriter out;
  out.begin_object().key("error").begin_object();
  out.field("code", exit_code).field("kind", to_string(e.kind()));
  out.field("file", e.file()).field("where", e.where()).field("reason", reason);
  out.field("message", std::string_view(told.what())).end_object().end_object();
  return out.finish();
}

int fail(const Error& e, bool json) { return fail(e, exit_code_of(e), json); }

int fail(const Error& e, int exit_code, bool json) {
  stop_was_heard();
  put_raw_message(error_text(e, exit_code, json));
  return exit_code;
}

SigbusEnd sigbus_end(bool json) {
  if (!json) return {.begin = "nibble: error[74]: ", .exit_code = kExitIo};
  return {R"({"error": {"kind": "io", "code": 74, "file": ")", R"(", "reason": ")", "\"}}\n",
          kExitIo};
}

std::string first_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace nibble::cli
