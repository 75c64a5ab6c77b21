// strftime_now() of templates.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace nibble::jinja {

/// As strftime() in the C locale has it. Error{corrupt} for a conversion that it does not know, and
/// for a format over 1,000 bytes.
std::string formatted_time(std::string_view format, const std::tm& time);

}  // namespace nibble::jinja
