// a.name and a[key].
#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja_operators.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_tables.h"

namespace nibble::jinja {
namespace {

// What would change a list or a dict: nothing of a template may.
bool would_change(Kind kind, std::string_view name) {
  constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  constexpr std::string_view kList[] = {"append", "clear", "pop",    "reverse",
                                        "insert", "sort",  "extend", "remove"};
  if (kind == Kind::dict)
    return std::find(std::begin(kDict), std::end(kDict), name) != std::end(kDict);
  return kind == Kind::list &&
         std::find(std::begin(kList), std::end(kList), name) != std::end(kList);
}

Value element(Meter& meter, const Value& a, int64_t at) {
  const int64_t size = length_of(a);
  if (at < 0) at += size;
  if (at < 0 || at >= size)
    return undefined(meter, fmt::format("{} object has no element {}", type_name(a), at));
  if (a.is(Kind::range)) {
    const auto& r = static_cast<const Range&>(*a.object);
    return of_integer(r.start + at * r.step);
  }
  if (!a.is(Kind::text)) return items_of(a)[static_cast<size_t>(at)];
  const size_t begin = offset_of(meter, text_of(a), at);
  const size_t end = text_of(a).ascii() ? begin + 1 : offset_of(meter, text_of(a), at + 1);
  return part_of(meter, text_of(a), begin, end);
}

const Value* find_member(const Value& space, std::string_view name) {
  for (const auto& [n, v] : static_cast<const Space&>(*space.object).items) {
    if (n == name) return &v;
  }
  return nullptr;
}

}  // namespace

Value Run::no_attribute(const Value& a, std::string_view name) {
  return undefined(meter_, fmt::format("'{} object' has no attribute '{}'", type_name(a), name));
}

// A method of it as a value; undefined where there is none.
Value Run::bound_method(const Value& a, std::string_view name) {
  if (const BuiltinRow* row = find_method(a.kind, name)) return function(row->name, row->callee, a);
  if (name.starts_with('_') || would_change(a.kind, name))
    return undefined(meter_, fmt::format("access to attribute '{}' of '{}' object is unsafe", name,
                                         type_name(a)));
  return no_attribute(a, name);
}

Value Run::loop_attribute(const Value& v, std::string_view name) {
  const auto& loop = static_cast<const Loop&>(*v.object);
  const auto index = static_cast<int64_t>(loop.index), size = std::ssize(loop.items);
  if (name == "index") return of_integer(index + 1);
  if (name == "index0") return of_integer(index);
  if (name == "revindex") return of_integer(size - index);
  if (name == "revindex0") return of_integer(size - index - 1);
  if (name == "length") return of_integer(size);
  if (name == "depth") return of_integer(loop.level + 1);
  if (name == "depth0") return of_integer(loop.level);
  if (name == "first") return of_boolean(index == 0);
  if (name == "last") return of_boolean(index + 1 == size);
  if (name == "previtem")
    return index > 0 ? loop.items[loop.index - 1] : undefined(meter_, "there is no previous item");
  if (name == "nextitem")
    return index + 1 < size ? loop.items[loop.index + 1]
                            : undefined(meter_, "there is no next item");
  return bound_method(v, name);
}

Value Run::attribute(const Value& a, std::string_view name) {
  require_defined(a);
  if (a.is(Kind::loop)) return loop_attribute(a, name);
  if (a.is(Kind::space)) {
    const Value* found = find_member(a, name);
    return found == nullptr ? no_attribute(a, name) : *found;
  }
  if (a.is(Kind::macro) && name == "name")
    return of_text(meter_, static_cast<const Macro&>(*a.object).node->text);
  Value method = bound_method(a, name);
  if (!a.is(Kind::dict) || method.is(Kind::function) || would_change(a.kind, name)) return method;
  const Value* found = find_key(dict_of(a), name);
  return found == nullptr ? method : *found;
}

Value Run::item(const Value& a, const Value& key) {
  require_defined(a);
  if (a.is(Kind::dict)) {
    const bool hashable = !key.is(Kind::list) && !key.is(Kind::dict);
    if (const Value* found = hashable ? find_key(meter_, dict_of(a), key) : nullptr) return *found;
  }
  const bool row = a.is(Kind::list) || a.is(Kind::tuple) || a.is(Kind::text) || a.is(Kind::range);
  if (row && key.is_integer()) return element(meter_, a, key.integer);
  if (key.is(Kind::text)) {
    if (!a.is(Kind::dict)) return attribute(a, bytes_of_text(key));
    return bound_method(a, bytes_of_text(key));
  }
  return undefined(meter_, fmt::format("{} object has no element {}", type_name(a),
                                       bytes_of_text(represented(meter_, key))));
}

}  // namespace nibble::jinja
