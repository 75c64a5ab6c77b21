// Operators of a chat template's program, as Python has them.
#pragma once

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/text/jinja_value.h"

namespace nibble::jinja {

/// left OP right for + - * / // % **. Error{corrupt} with Python's words for what it cannot do, and
/// for whole numbers beyond 64 bits.
Value calculate(Meter& meter, std::string_view op, const Value& left, const Value& right);
Value negated(const Value& v);

/// ==. Values of different types are not equal, but for numbers.
bool equal(Meter& meter, const Value& a, const Value& b);
/// <, of numbers, texts and lists. Error{corrupt} for others.
bool less(Meter& meter, const Value& a, const Value& b);
/// == != < <= > >= in notin.
bool compare(Run& run, std::string_view op, const Value& a, const Value& b);
bool contains(Run& run, const Value& all, const Value& one);

/// Stable, by what `key` says of an item.
template <class Item, class Key>
void sort_values(Meter& meter, std::vector<Item>& items, const Key& key, bool reverse) {
  std::vector<std::pair<Value, Item>> keyed;
  keyed.reserve(items.size());
  for (Item& item : items) {
    Value k = key(item);
    keyed.emplace_back(std::move(k), std::move(item));
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(meter, b.first, a.first) : less(meter, a.first, b.first);
  });
  std::transform(keyed.begin(), keyed.end(), items.begin(),
                 [](auto& pair) { return std::move(pair.second); });
}

}  // namespace nibble::jinja
