#include "nibble/report/numbers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string_view>

namespace nibble {
namespace {

constexpr std::string_view kUnknown = "n/a";

struct Unit {
  double size;
  std::string_view name;
};

using Units = std::span<const Unit>;
constexpr std::array kByteUnits = {Unit{0x1p40, " TiB"}, Unit{0x1p30, " GiB"}, Unit{0x1p20, " MiB"},
                                   Unit{0x1p10, " KiB"}};
constexpr std::array kRateUnits = {Unit{1e9, " G"}, Unit{1e6, " M"}, Unit{1e3, " k"}, Unit{1, ""}};
constexpr std::array kTimeUnits = {Unit{1, " s"}, Unit{1e-3, " ms"}, Unit{1e-6, " µs"},
                                   Unit{1e-9, " ns"}};

/// The first unit that is not larger than the value.
const Unit& unit_of(double value, Units units) {
  for (const Unit& u : units) {
    if (std::abs(value) >= u.size * 0.9995) return u;
  }
  return units.back();
}

/// For three significant ones.
int digits_of(double scaled) {
  return std::abs(scaled) >= 99.95 ? 0 : std::abs(scaled) >= 9.995 ? 1 : 2;
}

std::string in_units(double value, Units units) {
  if (!std::isfinite(value)) return std::string(kUnknown);
  const Unit& unit = unit_of(value, units);
  const double scaled = value / unit.size;
  return fmt::format("{:.{}f}{}", scaled, digits_of(scaled), unit.name);
}

std::string range_in_units(double value, double low, double high, Units units) {
  std::string middle = in_units(value, units);
  if (!std::isfinite(value) || !std::isfinite(low) || !std::isfinite(high)) return middle;
  const double size = unit_of(value, units).size;
  const int digits = digits_of(value / size);
  return fmt::format("{} ({}-{})", middle, format_fixed(low / size, digits),
                     format_fixed(high / size, digits));
}

}  // namespace

std::string format_fixed(double value, int digits) {
  if (!std::isfinite(value)) return std::string(kUnknown);
  if (std::abs(value) >= 1e15) return fmt::format("{:.{}e}", value, digits);
  const std::string out = fmt::format("{:.{}f}", value, digits);
  // "-0.00" says nothing that "0.00" does not.
  return out.front() == '-' && out.find_first_not_of("-0.") == std::string::npos ? out.substr(1)
                                                                                 : out;
}

std::string format_signed(double value, int digits) {
  const std::string out = format_fixed(value, digits);
  const bool nothing = out.find_first_not_of("0.") == std::string::npos;
  return std::isfinite(value) && value > 0 && !nothing ? "+" + out : out;
}

std::string format_significant(double value, int digits) {
  if (!std::isfinite(value)) return std::string(kUnknown);
  if (value == 0) return "0";
  // "#" keeps zeros that are significant: 1.0, not 1.
  std::string out = fmt::format("{:#.{}g}", value, digits);
  std::string exponent;
  if (const size_t at = out.find('e'); at != std::string::npos) {
    exponent = fmt::format("e{}", std::stoi(out.substr(at + 1)));
    out.resize(at);
  }
  // It gives whole numbers a ".0" as well, which is one digit too many where they fill the count.
  const auto whole = static_cast<int>(out.size()) - 2 - (out.front() == '-' ? 1 : 0);
  if (out.ends_with(".0") && whole >= digits) out.resize(out.size() - 2);
  if (out.back() == '.') out.pop_back();
  return out + exponent;
}

std::string format_count(int64_t value) {
  std::string digits = std::to_string(value);
  const int64_t first = value < 0 ? 1 : 0;
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > first; at -= 3) {
    digits.insert(static_cast<size_t>(at), 1, ',');
  }
  return digits;
}

std::string format_bytes(int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  return in_units(static_cast<double>(bytes), kByteUnits);
}

std::string format_percent(double share, int digits) {
  const std::string out = format_fixed(share * 100, digits);
  return out == kUnknown ? out : out + "%";
}

std::string format_rate(double per_second) { return in_units(per_second, kRateUnits); }

std::string format_seconds(double seconds) { return in_units(seconds, kTimeUnits); }

std::string format_rate_range(double per_second, double low, double high) {
  return range_in_units(per_second, low, high, kRateUnits);
}

std::string format_seconds_range(double seconds, double low, double high) {
  return range_in_units(seconds, low, high, kTimeUnits);
}

double ratio(double a, double b) {
  return a > 0 && b > 0 ? a / b : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace nibble
