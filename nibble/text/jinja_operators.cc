#include "nibble/text/jinja_operators.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "nibble/text/jinja_format.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_text.h"

namespace nibble::jinja {
namespace {

double as_real(const Value& v) {
  return v.is(Kind::real) ? v.real : static_cast<double>(v.integer);
}

Error wrong_operands(std::string_view op, const Value& a, const Value& b) {
  if (op == "+" && a.is(Kind::text))
    return failure(fmt::format("can only concatenate str (not \"{}\") to str", type_name(b)));
  return failure(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", op, type_name(a),
                             type_name(b)));
}

Error too_large_a_number() { return failure("a whole number beyond 64 bits"); }

int64_t floored(int64_t a, int64_t b, bool remainder) {
  if (b == 0) throw failure("integer division or modulo by zero");
  if (b == -1) {
    if (remainder) return 0;
    if (a == std::numeric_limits<int64_t>::min()) throw too_large_a_number();
    return -a;
  }
  const int64_t rest = a % b;
  const bool down = rest != 0 && (rest < 0) != (b < 0);
  return remainder ? rest + (down ? b : 0) : a / b - (down ? 1 : 0);
}

Value power(const Value& a, const Value& b) {
  if (!a.is_integer() || !b.is_integer() || b.integer < 0) {
    if (as_real(a) == 0 && as_real(b) < 0)
      throw failure("0.0 cannot be raised to a negative power");
    return of_real(std::pow(as_real(a), as_real(b)));
  }
  if (a.integer == 0 || a.integer == 1) return of_integer(b.integer == 0 ? 1 : a.integer);
  if (a.integer == -1) return of_integer(b.integer % 2 == 0 ? 1 : -1);
  int64_t out = 1;
  for (int64_t i = 0; i < b.integer; ++i) {
    if (__builtin_mul_overflow(out, a.integer, &out)) throw too_large_a_number();
  }
  return of_integer(out);
}

Value of_integers(std::string_view op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool over = false;
  if (op == "+")
    over = __builtin_add_overflow(a, b, &out);
  else if (op == "-")
    over = __builtin_sub_overflow(a, b, &out);
  else if (op == "*")
    over = __builtin_mul_overflow(a, b, &out);
  else
    out = floored(a, b, op == "%");
  if (over) throw too_large_a_number();
  return of_integer(out);
}

Value of_reals(std::string_view op, double a, double b) {
  if (op == "+") return of_real(a + b);
  if (op == "-") return of_real(a - b);
  if (op == "*") return of_real(a * b);
  if (b == 0) throw failure(op == "/" ? "division by zero" : "float floor division by zero");
  if (op == "/") return of_real(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return of_real(rest);
  return of_real(std::floor((a - rest) / b + 0.5));
}

Value numbers(std::string_view op, const Value& a, const Value& b) {
  if (op == "**") return power(a, b);
  if (a.is_integer() && b.is_integer() && op != "/") return of_integers(op, a.integer, b.integer);
  return of_reals(op, as_real(a), as_real(b));
}

// Joined to markup, what is none is escaped.
Value joined_texts(Meter& meter, const Value& a, const Value& b) {
  const bool markup = text_of(a).markup || text_of(b).markup;
  TextBuilder out(meter);
  out.add(text_of(markup ? escaped(meter, a) : a));
  out.add(text_of(markup ? escaped(meter, b) : b));
  return out.finish(markup);
}

Value joined_lists(Meter& meter, const Value& a, const Value& b) {
  Items out(meter);
  for (const Value& v : items_of(a)) out.add(v);
  for (const Value& v : items_of(b)) out.add(v);
  return a.is(Kind::list) ? out.list() : out.tuple();
}

Value repeated(Meter& meter, const Value& v, int64_t times) {
  if (v.is(Kind::text)) {
    TextBuilder out(meter);
    for (int64_t i = 0; i < times && !text_of(v).bytes.empty(); ++i, meter.step())
      out.add(text_of(v));
    return out.finish(text_of(v).markup);
  }
  Items out(meter);
  for (int64_t i = 0; i < times && !items_of(v).empty(); ++i) {
    for (const Value& item : items_of(v)) out.add(item);
  }
  return v.is(Kind::list) ? out.list() : out.tuple();
}

bool is_row(const Value& v) { return v.is(Kind::text) || v.is(Kind::list) || v.is(Kind::tuple); }

bool equal_rows(Meter& meter, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(meter, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Meter& meter, const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, v] : a.items) {
    const Value* other = find_key(meter, b, key);
    if (other == nullptr || !equal(meter, v, *other)) return false;
  }
  return true;
}

// For whole numbers and others exactly: a double does not hold each of 64 bits.
bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return a.integer == b.integer;
  return as_real(a) == as_real(b);
}

bool less_rows(Meter& meter, const std::vector<Value>& a, const std::vector<Value>& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!equal(meter, a[i], b[i])) return less(meter, a[i], b[i]);
  }
  return a.size() < b.size();
}

bool ordered(Meter& meter, std::string_view op, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  const bool numbers = a.is_number() && b.is_number();
  const bool rows = a.kind == b.kind && is_row(a);
  if (!numbers && !rows)
    throw failure(fmt::format("'{}' not supported between instances of '{}' and '{}'", op,
                              type_name(a), type_name(b)));
  if (numbers && (std::isnan(as_real(a)) || std::isnan(as_real(b)))) return false;
  if (op == "<") return less(meter, a, b);
  if (op == ">") return less(meter, b, a);
  return op == "<=" ? !less(meter, b, a) : !less(meter, a, b);
}

}  // namespace

Value calculate(Meter& meter, std::string_view op, const Value& a, const Value& b) {
  if (op == "%" && a.is(Kind::text)) return percent_formatted(meter, a, b);
  require_defined(a);
  require_defined(b);
  if (a.is_number() && b.is_number()) return numbers(op, a, b);
  if (op == "+" && a.is(Kind::text) && b.is(Kind::text)) return joined_texts(meter, a, b);
  if (op == "+" && a.kind == b.kind && is_row(a)) return joined_lists(meter, a, b);
  if (op == "*" && is_row(a) && b.is_integer()) return repeated(meter, a, b.integer);
  if (op == "*" && is_row(b) && a.is_integer()) return repeated(meter, b, a.integer);
  throw wrong_operands(op, a, b);
}

Value negated(const Value& v) {
  require_defined(v);
  if (v.is(Kind::real)) return of_real(-v.real);
  if (!v.is_integer())
    throw failure(fmt::format("bad operand type for unary -: '{}'", type_name(v)));
  return of_integers("-", 0, v.integer);
}

bool equal(Meter& meter, const Value& a, const Value& b) {
  meter.step();
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::text:
      meter.pass(text_of(a).bytes.size());
      return bytes_of_text(a) == bytes_of_text(b);
    case Kind::list:
    case Kind::tuple:
      return equal_rows(meter, items_of(a), items_of(b));
    case Kind::dict:
      return equal_dicts(meter, dict_of(a), dict_of(b));
    default:
      return a.object == b.object;
  }
}

bool less(Meter& meter, const Value& a, const Value& b) {
  meter.step();
  if (a.is_integer() && b.is_integer()) return a.integer < b.integer;
  if (a.is_number() && b.is_number()) return as_real(a) < as_real(b);
  if (a.is(Kind::text) && b.is(Kind::text)) {
    meter.pass(text_of(a).bytes.size());
    return bytes_of_text(a) < bytes_of_text(b);
  }
  if (a.kind == b.kind && is_row(a)) return less_rows(meter, items_of(a), items_of(b));
  return ordered(meter, "<", a, b);
}

bool contains(Run& run, const Value& all, const Value& one) {
  if (all.is(Kind::undefined)) return false;
  if (all.is(Kind::text)) {
    if (!one.is(Kind::text))
      throw failure(
          fmt::format("'in <string>' requires string as left operand, not {}", type_name(one)));
    run.meter().pass(text_of(all).bytes.size() + 64);
    return bytes_of_text(all).find(bytes_of_text(one)) != std::string_view::npos;
  }
  if (all.is(Kind::dict)) return find_key(run.meter(), dict_of(all), one) != nullptr;
  if (!is_iterable(all))
    throw failure(fmt::format("argument of type '{}' is not iterable", type_name(all)));
  for (const Value& v : walk(run, all)) {
    if (equal(run.meter(), v, one)) return true;
  }
  return false;
}

bool compare(Run& run, std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return equal(run.meter(), a, b);
  if (op == "!=") return !equal(run.meter(), a, b);
  if (op == "in") return contains(run, b, a);
  if (op == "notin") return !contains(run, b, a);
  return ordered(run.meter(), op, a, b);
}

}  // namespace nibble::jinja
