#include "cli/errors.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/signals.h"
#include "cli/streams.h"
#include "nibble/core/json.h"

namespace nibble::cli {

std::string error_text(const Error& e, bool json) {
  if (!json)
    return fmt::format("nibble: error[{}]: {}\n", e.exit_code(), printable(e.what(), SIZE_MAX));
  JsonWriter out;
  out.begin_object().key("error").begin_object();
  out.field("code", e.exit_code()).field("kind", to_string(e.kind()));
  out.field("file", e.file()).field("where", e.where()).field("reason", e.reason());
  out.field("message", std::string_view(e.what())).end_object().end_object();
  return out.finish();
}

int fail(const Error& e, bool json) {
  stop_was_heard();
  put_raw_message(error_text(e, json));
  return e.exit_code();
}

std::string first_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace nibble::cli
