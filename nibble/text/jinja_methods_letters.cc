// Methods of texts about what kinds of characters they have, and about upper and lower case.
#include <utf8proc.h>

#include <utility>

#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_tables.h"
#include "nibble/text/jinja_text_parts.h"
#include "nibble/text/utf8.h"

namespace nibble::jinja {
namespace {

// True where there are characters and `holds` is true of all.
template <class Holds>
Value all_characters(Run& run, const Value& self, const Holds& holds) {
  const std::string_view all = text_of(self).bytes;
  run.meter().pass(all.size());
  for (std::string_view rest = all; !rest.empty();) {
    if (!holds(utf8proc_category(static_cast<utf8proc_int32_t>(take_code_point(rest, all)))))
      return of_boolean(false);
  }
  return of_boolean(!all.empty());
}

bool is_letter(utf8proc_category_t c) {
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}
bool is_numeral(utf8proc_category_t c) {
  return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

// True where there are letters with case and all are of that one.
Value has_case(Run& run, const Value& self, bool upper) {
  bool any = false, other = false;
  changed_text(run.meter(), text_of(self), [&](char32_t c, std::string&) {
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
    const bool is_upper = category == UTF8PROC_CATEGORY_LU;
    const bool is_lower = category == UTF8PROC_CATEGORY_LL;
    any |= is_upper || is_lower;
    other |= upper ? is_lower : is_upper;
  });
  return of_boolean(any && !other);
}

}  // namespace

Value text_lower(Run& run, const Value& self, const Arguments&) {
  return lowered(run.meter(), text_of(self));
}
Value text_upper(Run& run, const Value& self, const Arguments&) {
  return raised(run.meter(), text_of(self));
}
Value text_title(Run& run, const Value& self, const Arguments&) {
  return titled(run.meter(), text_of(self), "");
}

Value text_capitalize(Run& run, const Value& self, const Arguments&) {
  bool first = true;
  return changed_text(run.meter(), text_of(self), [&](char32_t c, std::string& out) {
    const auto letter = static_cast<utf8proc_int32_t>(c);
    const bool capital = std::exchange(first, false);
    append_utf8(
        out, static_cast<char32_t>(capital ? utf8proc_totitle(letter) : utf8proc_tolower(letter)));
  });
}

Value text_swapcase(Run& run, const Value& self, const Arguments&) {
  return changed_text(run.meter(), text_of(self), [](char32_t c, std::string& out) {
    const auto letter = static_cast<utf8proc_int32_t>(c);
    const bool upper = utf8proc_category(letter) == UTF8PROC_CATEGORY_LU;
    append_utf8(out,
                static_cast<char32_t>(upper ? utf8proc_tolower(letter) : utf8proc_toupper(letter)));
  });
}

Value text_isalnum(Run& run, const Value& self, const Arguments&) {
  return all_characters(run, self, [](auto c) { return is_letter(c) || is_numeral(c); });
}
Value text_isalpha(Run& run, const Value& self, const Arguments&) {
  return all_characters(run, self, is_letter);
}
Value text_isdecimal(Run& run, const Value& self, const Arguments&) {
  return all_characters(run, self, [](auto c) { return c == UTF8PROC_CATEGORY_ND; });
}
Value text_isnumeric(Run& run, const Value& self, const Arguments&) {
  return all_characters(run, self, is_numeral);
}
Value text_islower(Run& run, const Value& self, const Arguments&) {
  return has_case(run, self, false);
}
Value text_isupper(Run& run, const Value& self, const Arguments&) {
  return has_case(run, self, true);
}
Value text_isspace(Run& run, const Value& self, const Arguments&) {
  const std::string_view all = text_of(self).bytes;
  run.meter().pass(all.size());
  return of_boolean(!all.empty() && white_prefix(all) == all.size());
}

}  // namespace nibble::jinja
