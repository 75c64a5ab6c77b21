#include "nibble/text/jinja_strftime.h"

#include <fmt/format.h>

#include "nibble/text/jinja_meter.h"

namespace nibble::jinja {
namespace {

constexpr const char* kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
constexpr const char* kMonths[] = {"January",   "February", "March",    "April",
                                   "May",       "June",     "July",     "August",
                                   "September", "October",  "November", "December"};

int hour_of_12(const std::tm& t) { return t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12; }

// The week of the year whose weeks begin with that day.
int week(const std::tm& t, int first_day) {
  return (t.tm_yday + 7 - (t.tm_wday - first_day + 7) % 7) / 7;
}

std::string number(int v, int width, char flag) {
  if (flag == '-') return fmt::to_string(v);
  return flag == '_' ? fmt::format("{:{}}", v, width) : fmt::format("{:0{}}", v, width);
}

std::string conversion(char c, char flag, const std::tm& t) {
  const int year = t.tm_year + 1900;
  const auto all = [&](std::string_view format) { return formatted_time(format, t); };
  switch (c) {
    case 'Y':
      return fmt::to_string(year);
    case 'y':
      return number(year % 100, 2, flag);
    case 'm':
      return number(t.tm_mon + 1, 2, flag);
    case 'd':
      return number(t.tm_mday, 2, flag);
    case 'e':
      return number(t.tm_mday, 2, flag == ' ' ? '_' : flag);
    case 'H':
      return number(t.tm_hour, 2, flag);
    case 'I':
      return number(hour_of_12(t), 2, flag);
    case 'M':
      return number(t.tm_min, 2, flag);
    case 'S':
      return number(t.tm_sec, 2, flag);
    case 'j':
      return number(t.tm_yday + 1, 3, flag);
    case 'U':
      return number(week(t, 0), 2, flag);
    case 'W':
      return number(week(t, 1), 2, flag);
    case 'f':
      return "000000";
    case 'p':
      return t.tm_hour < 12 ? "AM" : "PM";
    case 'A':
      return kDays[t.tm_wday];
    case 'a':
      return std::string(kDays[t.tm_wday], 3);
    case 'B':
      return kMonths[t.tm_mon];
    case 'b':
    case 'h':
      return std::string(kMonths[t.tm_mon], 3);
    case 'w':
      return fmt::to_string(t.tm_wday);
    case 'u':
      return fmt::to_string(t.tm_wday == 0 ? 7 : t.tm_wday);
    case 'F':
      return all("%Y-%m-%d");
    case 'T':
    case 'X':
      return all("%H:%M:%S");
    case 'R':
      return all("%H:%M");
    case 'D':
    case 'x':
      return all("%m/%d/%y");
    case 'c':
      return all("%a %b %e %H:%M:%S %Y");
    case 'Z':
    case 'z':
      return "";
    case 'n':
      return "\n";
    case 't':
      return "\t";
    case '%':
      return "%";
    default:
      throw failure(fmt::format("strftime_now: no conversion %{} is known",
                                printable(std::string_view(&c, 1))));
  }
}

}  // namespace

std::string formatted_time(std::string_view format, const std::tm& time) {
  constexpr size_t kLongest = 1000;
  if (format.size() > kLongest) throw failure("strftime_now: a format over 1000 bytes");
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    char flag = ' ';
    if ((format[i + 1] == '-' || format[i + 1] == '_') && i + 2 < format.size()) flag = format[++i];
    out += conversion(format[++i], flag, time);
  }
  return out;
}

}  // namespace nibble::jinja
