// The builtins of templates by their names, and their arguments by the names of parameters.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/jinja_value.h"

namespace nibble::jinja {

#define NIBBLE_JINJA_FILTER(name, f) Value f(Run& run, const Value& self, const Arguments& given);
#define NIBBLE_JINJA_TEST(name, f) Value f(Run& run, const Value& self, const Arguments& given);
#define NIBBLE_JINJA_METHOD(kind, name, f) \
  Value f(Run& run, const Value& self, const Arguments& given);
#define NIBBLE_JINJA_GLOBAL(name, f) Value f(Run& run, const Value& self, const Arguments& given);
#include "nibble/text/jinja_builtins.inc"
#undef NIBBLE_JINJA_FILTER
#undef NIBBLE_JINJA_TEST
#undef NIBBLE_JINJA_METHOD
#undef NIBBLE_JINJA_GLOBAL

struct BuiltinRow {
  std::string_view name;
  Callee callee;
  Kind kind = Kind::none;  ///< of methods: what they belong to
};

/// nullptr where there is none.
Callee find_filter(std::string_view name);
Callee find_test(std::string_view name);
const BuiltinRow* find_method(Kind kind, std::string_view name);
std::span<const BuiltinRow> globals();
/// "no filter named 'x'".
std::string no_such(std::string_view what, std::string_view name);

/// Arguments as the parameters of a function have them.
class Bound {
 public:
  /// Error{corrupt} for more arguments than parameters, names that are none of them, and fewer than
  /// `required`.
  Bound(std::string_view function, const Arguments& given,
        std::initializer_list<std::string_view> parameters, size_t required = 0);
  /// nullptr where it was not given.
  const Value* operator[](size_t i) const { return found_[i]; }
  Value value_or(size_t i, const Value& otherwise) const {
    return found_[i] == nullptr ? otherwise : *found_[i];
  }
  bool truth_or(size_t i, bool otherwise) const {
    return found_[i] == nullptr ? otherwise : truth(*found_[i]);
  }
  /// Error{corrupt} for what is no whole number, or no text. None counts as not given.
  int64_t integer_or(size_t i, int64_t otherwise) const;
  std::optional<Value> text(size_t i) const;

 private:
  std::string_view function_;
  std::vector<const Value*> found_;
};

}  // namespace nibble::jinja
