#include "nibble/text/jinja_tables.h"

#include <fmt/format.h>

#include <algorithm>

namespace nibble::jinja {
namespace {

#define NIBBLE_JINJA_FILTER(name, f)
#define NIBBLE_JINJA_TEST(name, f)
#define NIBBLE_JINJA_METHOD(kind, name, f)
#define NIBBLE_JINJA_GLOBAL(name, f)

#undef NIBBLE_JINJA_FILTER
#define NIBBLE_JINJA_FILTER(name, f) {name, f},
constexpr BuiltinRow kFilters[] = {
#include "nibble/text/jinja_builtins.inc"
};
#undef NIBBLE_JINJA_FILTER
#define NIBBLE_JINJA_FILTER(name, f)

#undef NIBBLE_JINJA_TEST
#define NIBBLE_JINJA_TEST(name, f) {name, f},
constexpr BuiltinRow kTests[] = {
#include "nibble/text/jinja_builtins.inc"
};
#undef NIBBLE_JINJA_TEST
#define NIBBLE_JINJA_TEST(name, f)

#undef NIBBLE_JINJA_METHOD
#define NIBBLE_JINJA_METHOD(kind, name, f) {name, f, Kind::kind},
constexpr BuiltinRow kMethods[] = {
#include "nibble/text/jinja_builtins.inc"
};
#undef NIBBLE_JINJA_METHOD
#define NIBBLE_JINJA_METHOD(kind, name, f)

#undef NIBBLE_JINJA_GLOBAL
#define NIBBLE_JINJA_GLOBAL(name, f) {name, f},
constexpr BuiltinRow kGlobals[] = {
#include "nibble/text/jinja_builtins.inc"
};
#undef NIBBLE_JINJA_GLOBAL
#undef NIBBLE_JINJA_METHOD
#undef NIBBLE_JINJA_TEST
#undef NIBBLE_JINJA_FILTER

const BuiltinRow* find_row(std::span<const BuiltinRow> rows, std::string_view name,
                           Kind kind = Kind::none) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const BuiltinRow& r) {
    return r.name == name && r.kind == kind;
  });
  return found == rows.end() ? nullptr : &*found;
}

Callee callee_of(const BuiltinRow* row) { return row == nullptr ? nullptr : row->callee; }

}  // namespace

Callee find_filter(std::string_view name) { return callee_of(find_row(kFilters, name)); }
Callee find_test(std::string_view name) { return callee_of(find_row(kTests, name)); }
const BuiltinRow* find_method(Kind kind, std::string_view name) {
  return find_row(kMethods, name, kind);
}
std::span<const BuiltinRow> globals() { return kGlobals; }

std::string no_such(std::string_view what, std::string_view name) {
  return fmt::format("no {} named {}", what, in_quotes(name, 40));
}

Bound::Bound(std::string_view function, const Arguments& given,
             std::initializer_list<std::string_view> parameters, size_t required)
    : function_(function), found_(parameters.size(), nullptr) {
  if (given.list.size() > parameters.size())
    throw failure(fmt::format("{}() takes at most {} argument(s), {} were given", function,
                              parameters.size(), given.list.size()));
  for (size_t i = 0; i < given.list.size(); ++i) found_[i] = &given.list[i];
  for (const auto& [name, v] : given.named) {
    const auto* const at = std::find(parameters.begin(), parameters.end(), name);
    if (at == parameters.end())
      throw failure(fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
    found_[static_cast<size_t>(at - parameters.begin())] = &v;
  }
  for (size_t i = 0; i < required; ++i) {
    if (found_[i] == nullptr)
      throw failure(fmt::format("{}() needs its argument '{}'", function, parameters.begin()[i]));
  }
}

int64_t Bound::integer_or(size_t i, int64_t otherwise) const {
  if (found_[i] == nullptr || found_[i]->is(Kind::none)) return otherwise;
  require_defined(*found_[i]);
  if (!found_[i]->is_integer())
    throw failure(fmt::format("{}(): '{}' object cannot be interpreted as an integer", function_,
                              type_name(*found_[i])));
  return found_[i]->integer;
}

std::optional<Value> Bound::text(size_t i) const {
  if (found_[i] == nullptr || found_[i]->is(Kind::none)) return std::nullopt;
  require_defined(*found_[i]);
  if (!found_[i]->is(Kind::text))
    throw failure(fmt::format("{}() takes a str here, not {}", function_, type_name(*found_[i])));
  return *found_[i];
}

}  // namespace nibble::jinja
