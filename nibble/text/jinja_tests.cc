// x is NAME.
#include <fmt/format.h>
#include <utf8proc.h>

#include "nibble/text/jinja_operators.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_tables.h"

namespace nibble::jinja {
namespace {

Value compared(Run& run, std::string_view op, const Value& self, const Arguments& given) {
  const Bound bound(op, given, {"other"}, 1);
  return of_boolean(compare(run, op, self, *bound[0]));
}

// self % by == rest.
Value remainder_is(Run& run, const Value& self, const Value& by, int64_t rest) {
  const Value found = calculate(run.meter(), "%", self, by);
  return of_boolean(equal(run.meter(), found, of_integer(rest)));
}

bool is_boolean(const Value& v, bool which) {
  return v.is(Kind::boolean) && (v.integer != 0) == which;
}

}  // namespace

Value test_eq(Run& run, const Value& self, const Arguments& given) {
  return compared(run, "==", self, given);
}
Value test_ne(Run& run, const Value& self, const Arguments& given) {
  return compared(run, "!=", self, given);
}
Value test_lt(Run& run, const Value& self, const Arguments& given) {
  return compared(run, "<", self, given);
}
Value test_le(Run& run, const Value& self, const Arguments& given) {
  return compared(run, "<=", self, given);
}
Value test_gt(Run& run, const Value& self, const Arguments& given) {
  return compared(run, ">", self, given);
}
Value test_ge(Run& run, const Value& self, const Arguments& given) {
  return compared(run, ">=", self, given);
}
Value test_in(Run& run, const Value& self, const Arguments& given) {
  return compared(run, "in", self, given);
}

Value test_boolean(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::boolean));
}
Value test_callable(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::function) || self.is(Kind::macro) || self.is(Kind::loop) ||
                    self.is(Kind::undefined));
}
Value test_defined(Run&, const Value& self, const Arguments&) {
  return of_boolean(!self.is(Kind::undefined));
}
Value test_undefined(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::undefined));
}
Value test_divisibleby(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("divisibleby", given, {"num"}, 1);
  return remainder_is(run, self, *bound[0], 0);
}
Value test_escaped(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::text) && text_of(self).markup);
}
Value test_even(Run& run, const Value& self, const Arguments&) {
  return remainder_is(run, self, of_integer(2), 0);
}
Value test_odd(Run& run, const Value& self, const Arguments&) {
  return remainder_is(run, self, of_integer(2), 1);
}
Value test_false(Run&, const Value& self, const Arguments&) {
  return of_boolean(is_boolean(self, false));
}
Value test_true(Run&, const Value& self, const Arguments&) {
  return of_boolean(is_boolean(self, true));
}
Value test_filter(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::text) && find_filter(bytes_of_text(self)) != nullptr);
}
Value test_test(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::text) && find_test(bytes_of_text(self)) != nullptr);
}
Value test_float(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::real));
}
Value test_integer(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::integer));
}
Value test_iterable(Run&, const Value& self, const Arguments&) {
  return of_boolean(is_iterable(self));
}
Value test_lower(Run& run, const Value& self, const Arguments&) {
  return text_islower(run, as_text(run, self), {});
}
Value test_upper(Run& run, const Value& self, const Arguments&) {
  return text_isupper(run, as_text(run, self), {});
}
Value test_mapping(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::dict));
}
Value test_none(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::none));
}
Value test_number(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is_number());
}
Value test_sameas(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("sameas", given, {"other"}, 1);
  if (self.kind != bound[0]->kind) return of_boolean(false);
  if (self.object && !self.is(Kind::text)) return of_boolean(self.object == bound[0]->object);
  return of_boolean(equal(run.meter(), self, *bound[0]));
}
Value test_sequence(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::text) || self.is(Kind::list) || self.is(Kind::tuple) ||
                    self.is(Kind::dict) || self.is(Kind::range) || self.is(Kind::undefined));
}
Value test_string(Run&, const Value& self, const Arguments&) {
  return of_boolean(self.is(Kind::text));
}

}  // namespace nibble::jinja
