// The three streams that a command is started with: results on stdout, messages on stderr, texts
// from stdin. Any of them may be closed, full, without a reader, or slow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nibble::cli {

/// Gives descriptors 0, 1 and 2 that are closed to something that can be neither read nor written,
/// so that no file which is opened later gets their number. Call it before anything is opened.
void occupy_closed_streams();

/// Text from outside made safe for a terminal, as printable() does, but that lines may end.
std::string printable_lines(std::string_view text);

/// Writes results for people to stdout, as printable_lines(). A reader that went away ends the
/// program quietly; where stdout is full or closed, Error{io}. A signal that asks for a stop is
/// heard while the reader keeps us waiting.
void print_out(std::string_view text);
/// The same for JSON, which is escaped already, and for what a model writes.
void print_raw(std::string_view text);

/// Writes a line for people to stderr, as printable_lines(). Never fails: where nobody can hear it,
/// it is not said.
void put_message(std::string_view line);
/// The same for JSON.
void put_raw_message(std::string_view text);

/// Everything on standard input, to its end; a signal that asks for a stop is heard meanwhile.
std::string read_standard_input(int64_t limit);

/// The same line by line, as they come.
class InputLines {
 public:
  /// Without its end; nothing behind the last one. Error{invalid_argument} for one over 16 MiB.
  std::optional<std::string> next();

 private:
  std::string held_;
  bool ended_ = false;
};

}  // namespace nibble::cli
