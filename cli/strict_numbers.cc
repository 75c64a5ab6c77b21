#include "cli/strict_numbers.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "nibble/core/error.h"

namespace nibble::cli {
namespace {

template <class Number>
bool is_whole_number(std::string_view text) {
  Number value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size();
}

template <class Number>
std::string check_number(const std::string& text) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  if (is_whole_number<Number>(digits)) return "";
  return fmt::format("{} is not a number that fits here", in_quotes(text));
}

std::string check_flag(const std::string& text) {
  if (text == "true" || text == "false") return "";
  return fmt::format("a flag takes no value (got {})", in_quotes(text));
}

// The type stands in front: "FLOAT:FLOAT in [0 - 1]" where there is a range.
void check(CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (type.starts_with("FLOAT"))
    option.check(check_number<double>, "");
  else if (type.starts_with("UINT"))
    option.check(check_number<uint64_t>, "");
  else if (type.starts_with("INT"))
    option.check(check_number<int64_t>, "");
  else if (option.get_items_expected_max() == 0 && option.get_name() != "--help")
    option.check(check_flag, "");
}

}  // namespace

void read_numbers_strictly(CLI::App& app) {
  for (CLI::App* verb : app.get_subcommands({})) {
    for (CLI::Option* option : verb->get_options()) check(*option);
  }
}

}  // namespace nibble::cli
