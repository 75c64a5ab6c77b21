// Numbers as people read them. What is not finite is "n/a"; nothing here depends on a locale.
#pragma once

#include <cstdint>
#include <string>

namespace nibble {

std::string format_fixed(double value, int digits);
/// With its sign, "+0.0004"; a value that rounds to nothing is "0.0000", without one.
std::string format_signed(double value, int digits);
/// `digits` significant ones: "0.00012", "3.4e-6".
std::string format_significant(double value, int digits = 2);
/// "12,345".
std::string format_count(int64_t value);
/// "812 B", "33.4 KiB", "1.24 GiB".
std::string format_bytes(int64_t bytes);
/// A share of 1 as "99.12%".
std::string format_percent(double share, int digits = 1);
/// "1.24 M", "812 k", "94.1": for rates.
std::string format_rate(double per_second);
/// "1.23 s", "4.56 ms", "78.9 µs".
std::string format_seconds(double seconds);
/// The value and between what it lies, in its unit and digits: "1.83 k (1.79-1.85)".
std::string format_rate_range(double per_second, double low, double high);
std::string format_seconds_range(double seconds, double low, double high);
/// a / b, or NaN where either is not positive (so that it shows as "n/a").
double ratio(double a, double b);

}  // namespace nibble
