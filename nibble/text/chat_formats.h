// Chat templates that nibble brings along, for models that come without one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nibble {

std::vector<std::string_view> chat_format_names();
/// The template of that name, in Jinja; Error{invalid_argument} lists them.
std::string chat_format(std::string_view name);

}  // namespace nibble
