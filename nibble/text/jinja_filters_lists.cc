// x|NAME for what can be gone through.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja_attributes.h"
#include "nibble/text/jinja_operators.h"
#include "nibble/text/jinja_tables.h"
#include "nibble/text/jinja_text_parts.h"

namespace nibble::jinja {
namespace {

Value list_of(Run& run, const std::vector<Value>& all) {
  Items out(run.meter());
  for (const Value& v : all) out.add(v);
  return out.list();
}

// What `each` adds for every item, as Python's generators do it: what goes wrong is told where it
// is reached.
template <class Each>
Value generated(Run& run, const Value& all, const Each& each) {
  Items out(run.meter());
  if (!truth(all)) return out.generator();
  std::optional<Error> failed;
  try {
    for (const Value& v : walk(run, all)) each(v, out);
  } catch (const Error& e) {
    failed = e;
  }
  return out.generator("generator", std::move(failed));
}

Arguments without_first(const Arguments& given, size_t n) {
  Arguments out = given;
  out.list.erase(out.list.begin(), out.list.begin() + static_cast<ptrdiff_t>(n));
  return out;
}

// select, reject, selectattr, rejectattr: those where a test, or the value itself, is `wanted`.
Value selected(Run& run, const Value& self, const Arguments& given, bool attribute, bool wanted) {
  const size_t first = attribute ? 1 : 0;
  if (given.list.size() < first) throw failure("missing parameter for attribute name");
  const AttributePath path(run, attribute ? &given.list[0] : nullptr);
  return generated(run, self, [&](const Value& v, Items& out) {
    const Value part = path.of(v);
    bool holds = false;
    if (given.list.size() > first) {
      const Value name = as_text(run, given.list[first]);
      holds = run.test(bytes_of_text(name), part, without_first(given, first + 1));
    } else {
      holds = truth(part);
    }
    if (holds == wanted) out.add(v);
  });
}

// The least item, or the greatest.
Value extreme(Run& run, const Value& self, const Arguments& given, bool most) {
  const Bound bound(most ? "max" : "min", given, {"case_sensitive", "attribute"});
  const AttributePath path(run, bound[1]);
  const std::vector<Value> all = walk(run, self);
  if (all.empty()) return undefined(run.meter(), "no aggregated item, sequence was empty");
  const auto key = [&](const Value& v) {
    return bound.truth_or(0, false) ? path.of(v) : without_case(run, path.of(v));
  };
  Value best = all[0], best_key = key(all[0]);
  for (size_t i = 1; i < all.size(); ++i) {
    Value k = key(all[i]);
    if (!compare(run, most ? ">" : "<", k, best_key)) continue;
    best = all[i];
    best_key = std::move(k);
  }
  return best;
}

}  // namespace

AttributePath::AttributePath(Run& run, const Value* attribute) : run_(run) {
  if (attribute == nullptr || attribute->is(Kind::none)) return;
  if (!attribute->is(Kind::text)) {
    parts_.push_back(*attribute);
    return;
  }
  for (const Value& part : split_text(run.meter(), text_of(*attribute), ".", -1)) {
    const std::string_view word = bytes_of_text(part);
    const bool index = !word.empty() && word.size() < 10 &&
                       word.find_first_not_of("0123456789") == std::string_view::npos;
    parts_.push_back(index ? of_integer(std::stoll(std::string(word))) : part);
  }
}

Value AttributePath::of(const Value& v, const Value* otherwise) const {
  Value out = v;
  for (const Value& part : parts_) {
    out = run_.item(out, part);
    if (otherwise != nullptr && out.is(Kind::undefined)) out = *otherwise;
  }
  return out;
}

Value without_case(Run& run, const Value& v) {
  return v.is(Kind::text) ? lowered(run.meter(), text_of(v)) : v;
}

Value filter_batch(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("batch", given, {"linecount", "fill_with"}, 1);
  const int64_t count = bound.integer_or(0, 1);
  const std::vector<Value> all = walk(run, self);
  if (count < 1) throw failure("batch: at least 1 item in each");
  Items out(run.meter());
  for (size_t i = 0; i < all.size(); i += static_cast<size_t>(count)) {
    Items one(run.meter());
    for (size_t k = i; k < std::min(all.size(), i + static_cast<size_t>(count)); ++k)
      one.add(all[k]);
    const bool fill = bound[1] != nullptr && !bound[1]->is(Kind::none);
    while (fill && one.size() < static_cast<size_t>(count)) one.add(*bound[1]);
    out.add(one.list());
  }
  return out.generator();
}

Value filter_slice(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("slice", given, {"slices", "fill_with"}, 1);
  const int64_t slices = bound.integer_or(0, 1);
  if (slices < 1) throw failure("slice: at least 1 of them");
  const std::vector<Value> all = walk(run, self);
  const auto size = static_cast<int64_t>(all.size());
  Items out(run.meter());
  auto at = all.begin();
  for (int64_t i = 0; i < slices; ++i) {
    const bool longer = i < size % slices;
    Items one(run.meter());
    for (int64_t k = 0; k < size / slices + (longer ? 1 : 0); ++k) one.add(*at++);
    if (!longer && bound[1] != nullptr && !bound[1]->is(Kind::none)) one.add(*bound[1]);
    out.add(one.list());
  }
  return out.generator();
}

Value filter_dictsort(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("dictsort", given, {"case_sensitive", "by", "reverse"});
  require_defined(self);
  if (!self.is(Kind::dict))
    throw failure(fmt::format("dictsort: '{}' object has no items", type_name(self)));
  const auto by = bound.text(1);
  const bool values = by && bytes_of_text(*by) == "value";
  if (by && !values && bytes_of_text(*by) != "key")
    throw failure("dictsort: by either \"key\" or \"value\"");
  std::vector<Value> pairs = walk(run, dict_items(run, self, {}));
  sort_values(
      run.meter(), pairs,
      [&](const Value& pair) {
        const Value& v = items_of(pair)[values ? 1 : 0];
        return bound.truth_or(0, false) ? v : without_case(run, v);
      },
      bound.truth_or(2, false));
  return list_of(run, pairs);
}

Value filter_first(Run& run, const Value& self, const Arguments&) {
  if (self.is(Kind::generator)) {
    auto& g = static_cast<Generator&>(*self.object);
    if (g.next < g.items.size()) return g.items[g.next++];
  }
  const std::vector<Value> all = walk(run, self);
  return all.empty() ? undefined(run.meter(), "no first item, sequence was empty") : all[0];
}

Value filter_last(Run& run, const Value& self, const Arguments&) {
  if (self.is(Kind::generator))
    throw failure(fmt::format("'{}' object is not reversible", type_name(self)));
  const std::vector<Value> all = walk(run, self);
  return all.empty() ? undefined(run.meter(), "no last item, sequence was empty") : all.back();
}

Value filter_groupby(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("groupby", given, {"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(run, bound[0]);
  const auto key = [&](const Value& v) {
    const Value k = path.of(v, bound[1]);
    return bound.truth_or(2, false) ? k : without_case(run, k);
  };
  std::vector<Value> all = walk(run, self);
  sort_values(run.meter(), all, key, false);
  Items out(run.meter());
  for (size_t i = 0; i < all.size();) {
    const Value k = key(all[i]);
    const Value shown_key = path.of(all[i], bound[1]);
    Items group(run.meter()), pair(run.meter());
    for (; i < all.size() && equal(run.meter(), key(all[i]), k); ++i) group.add(all[i]);
    pair.add(shown_key);
    pair.add(group.list());
    out.add(pair.tuple());
  }
  return out.list();
}

Value filter_items(Run& run, const Value& self, const Arguments&) {
  if (self.is(Kind::undefined)) return Items(run.meter()).generator();
  if (!self.is(Kind::dict)) {
    // Told where it is gone through, as a generator does.
    return Items(run.meter())
        .generator("generator", failure("can only get item pairs from a mapping"));
  }
  const Value view = dict_items(run, self, {});
  Items out(run.meter());
  for (Value& v : walk(run, view)) out.add(std::move(v));
  return out.generator();
}

Value filter_join(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("join", given, {"d", "attribute"});
  const AttributePath path(run, bound[1]);
  const Value between = bound[0] == nullptr ? of_text(run.meter(), "") : as_text(run, *bound[0]);
  TextBuilder out(run.meter());
  bool first = true;
  for (const Value& v : walk(run, self)) {
    if (!std::exchange(first, false)) out.add(text_of(between));
    out.add(text_of(as_text(run, path.of(v))));
  }
  return out.finish();
}

Value filter_list(Run& run, const Value& self, const Arguments&) {
  return list_of(run, walk(run, self));
}

Value filter_map(Run& run, const Value& self, const Arguments& given) {
  if (given.list.empty() && given.find("attribute") != nullptr) {
    const Bound bound("map", given, {"attribute", "default"});
    const AttributePath path(run, bound[0]);
    const Value* otherwise = bound[1] != nullptr && bound[1]->is(Kind::none) ? nullptr : bound[1];
    return generated(run, self,
                     [&](const Value& v, Items& out) { out.add(path.of(v, otherwise)); });
  }
  return generated(run, self, [&](const Value& v, Items& out) {
    if (given.list.empty()) throw failure("map requires a filter argument");
    const Value name = as_text(run, given.list[0]);
    out.add(run.filter(bytes_of_text(name), v, without_first(given, 1)));
  });
}

Value filter_max(Run& run, const Value& self, const Arguments& given) {
  return extreme(run, self, given, true);
}
Value filter_min(Run& run, const Value& self, const Arguments& given) {
  return extreme(run, self, given, false);
}

Value filter_select(Run& run, const Value& self, const Arguments& given) {
  return selected(run, self, given, false, true);
}
Value filter_reject(Run& run, const Value& self, const Arguments& given) {
  return selected(run, self, given, false, false);
}
Value filter_selectattr(Run& run, const Value& self, const Arguments& given) {
  return selected(run, self, given, true, true);
}
Value filter_rejectattr(Run& run, const Value& self, const Arguments& given) {
  return selected(run, self, given, true, false);
}

Value filter_reverse(Run& run, const Value& self, const Arguments&) {
  std::vector<Value> all = walk(run, self);
  std::reverse(all.begin(), all.end());
  if (self.is(Kind::text)) {
    TextBuilder out(run.meter());
    for (const Value& v : all) out.add(text_of(v));
    return out.finish(text_of(self).markup);
  }
  Items out(run.meter());
  for (Value& v : all) out.add(std::move(v));
  if (self.is(Kind::generator)) return out.list();
  return out.generator(self.is(Kind::list) ? "list_reverseiterator" : "reversed");
}

Value filter_sort(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("sort", given, {"reverse", "case_sensitive", "attribute"});
  std::vector<AttributePath> paths;
  if (bound[2] != nullptr && bound[2]->is(Kind::text)) {
    for (const Value& one : split_text(run.meter(), text_of(*bound[2]), ",", -1))
      paths.emplace_back(run, &one);
  } else {
    paths.emplace_back(run, bound[2]);
  }
  std::vector<Value> all = walk(run, self);
  const auto key = [&](const Value& v) {
    Items keys(run.meter());
    for (const AttributePath& path : paths)
      keys.add(bound.truth_or(1, false) ? path.of(v) : without_case(run, path.of(v)));
    return keys.list();
  };
  sort_values(run.meter(), all, key, bound.truth_or(0, false));
  return list_of(run, all);
}

Value filter_sum(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("sum", given, {"attribute", "start"});
  const AttributePath path(run, bound[0]);
  Value out = bound.value_or(1, of_integer(0));
  if (out.is(Kind::text)) throw failure("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& v : walk(run, self)) out = calculate(run.meter(), "+", out, path.of(v));
  return out;
}

Value filter_unique(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("unique", given, {"case_sensitive", "attribute"});
  const AttributePath path(run, bound[1]);
  std::vector<Value> keys;
  Items out(run.meter());
  for (const Value& v : walk(run, self)) {
    const Value k = bound.truth_or(0, false) ? path.of(v) : without_case(run, path.of(v));
    if (k.is(Kind::list) || k.is(Kind::dict))
      throw failure(fmt::format("unhashable type: '{}'", type_name(k)));
    const bool known = std::any_of(
        keys.begin(), keys.end(), [&](const Value& other) { return equal(run.meter(), other, k); });
    if (known) continue;
    keys.push_back(k);
    out.add(v);
  }
  return out.generator();
}

}  // namespace nibble::jinja
