// Methods of texts: x.NAME().
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/text/jinja_format.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_tables.h"
#include "nibble/text/jinja_text_parts.h"
#include "nibble/text/utf8.h"

namespace nibble::jinja {
namespace {

bool in_set(std::string_view characters, std::string_view character) {
  return characters.find(character) != std::string_view::npos;
}

// The bytes that are left where characters of a set, or white space, are taken off the ends.
ByteRange stripped_range(const Text& text, const std::optional<Value>& chars, bool left,
                         bool right) {
  const std::string_view all = text.bytes;
  if (!chars) {
    const size_t begin = left ? white_prefix(all) : 0;
    return {begin, right ? std::max(begin, white_suffix(all)) : all.size()};
  }
  const std::string_view set = bytes_of_text(*chars);
  size_t begin = 0, end = all.size();
  while (left && begin < end) {
    const size_t n = std::max<size_t>(utf8_length(all, begin), 1);
    if (!in_set(set, all.substr(begin, n))) break;
    begin += n;
  }
  while (right && end > begin) {
    size_t before = end - 1;
    while (before > begin && (static_cast<unsigned char>(all[before]) >> 6) == 2) --before;
    if (!in_set(set, all.substr(before, end - before))) break;
    end = before;
  }
  return {begin, end};
}

Value stripped_text(Run& run, const Value& self, const Arguments& given, bool left, bool right) {
  const Bound bound("strip", given, {"chars"});
  const auto chars = bound.text(0);
  const size_t set = chars ? text_of(*chars).bytes.size() : 0;
  run.meter().step(static_cast<int64_t>(text_of(self).bytes.size() * (set + 1) / 64));
  const auto [begin, end] = stripped_range(text_of(self), chars, left, right);
  return part_of(run.meter(), text_of(self), begin, end);
}

Value list_of_texts(Run& run, std::vector<Value> all) {
  Items out(run.meter());
  for (Value& v : all) out.add(std::move(v));
  return out.list();
}

// Words between white space; at most `most` cuts, from the left.
std::vector<Value> split_white(Meter& meter, const Text& text, int64_t most) {
  std::vector<Value> out;
  const std::string_view all = text.bytes;
  for (size_t at = white_prefix(all); at < all.size();) {
    meter.step();
    size_t end = at;
    if (most == 0) {
      end = all.size();
    } else {
      while (end < all.size() && white_prefix(all.substr(end, 4)) == 0)
        end += std::max<size_t>(utf8_length(all, end), 1);
    }
    out.push_back(part_of(meter, text, at, end));
    if (most == 0) break;
    --most;
    at = end + white_prefix(all.substr(end));
  }
  return out;
}

// The same with the cuts from the right.
std::vector<Value> split_white_from_right(Meter& meter, const Text& text, int64_t most) {
  std::vector<Value> words = split_white(meter, text, -1);
  if (most < 0 || std::ssize(words) <= most) return words;
  std::string_view rest = text.bytes;
  for (int64_t i = 0; i < most; ++i) {
    rest = rest.substr(0, white_suffix(rest));
    rest = rest.substr(
        0, rest.size() - text_of(words[words.size() - 1 - static_cast<size_t>(i)]).bytes.size());
  }
  std::vector<Value> out{part_of(meter, text, 0, white_suffix(rest))};
  out.insert(out.end(), words.end() - most, words.end());
  return out;
}

std::vector<Value> split_from_right(Meter& meter, const Text& text, std::string_view separator,
                                    int64_t most) {
  if (most < 0) return split_text(meter, text, separator, most);
  if (separator.empty()) throw failure("empty separator");
  std::vector<Value> out;
  size_t end = text.bytes.size();
  for (; most > 0; --most) {
    const std::string_view rest = std::string_view(text.bytes).substr(0, end);
    const size_t at = find_last_bytes(meter, rest, separator);
    if (at == std::string_view::npos) break;
    out.push_back(part_of(meter, text, at + separator.size(), end));
    end = at;
  }
  out.push_back(part_of(meter, text, 0, end));
  std::reverse(out.begin(), out.end());
  return out;
}

Value split_method(Run& run, const Value& self, const Arguments& given, bool right) {
  const Bound bound("split", given, {"sep", "maxsplit"});
  const int64_t most = bound.integer_or(1, -1);
  const auto separator = bound.text(0);
  const Text& text = text_of(self);
  run.meter().pass(text.bytes.size());
  if (!separator)
    return list_of_texts(run, right ? split_white_from_right(run.meter(), text, most)
                                    : split_white(run.meter(), text, most));
  const std::string_view s = bytes_of_text(*separator);
  return list_of_texts(run, right ? split_from_right(run.meter(), text, s, most)
                                  : split_text(run.meter(), text, s, most));
}

// Bytes `start` to `end` of a text that find(), count() and startswith() look at.
ByteRange looked_at(Meter& meter, const Text& text, const Bound& bound, size_t first) {
  const auto bounded = [&](int64_t at) {
    if (at < 0) at += text.length;
    return std::clamp<int64_t>(at, 0, text.length);
  };
  const size_t begin = offset_of(meter, text, bounded(bound.integer_or(first, 0)));
  const size_t end = offset_of(meter, text, bounded(bound.integer_or(first + 1, text.length)));
  return {begin, std::max(begin, end)};
}

int64_t found_at(Run& run, const Value& self, const Arguments& given, bool last) {
  const Bound bound("find", given, {"sub", "start", "end"}, 1);
  const Text& text = text_of(self);
  const auto what = bound.text(0);
  if (!what) throw failure("find() takes a str, not NoneType");
  const auto [begin, end] = looked_at(run.meter(), text, bound, 1);
  const std::string_view part = std::string_view(text.bytes).substr(begin, end - begin);
  const size_t at = last ? find_last_bytes(run.meter(), part, bytes_of_text(*what))
                         : find_bytes(run.meter(), part, bytes_of_text(*what));
  if (at == std::string_view::npos) return -1;
  return text_of(part_of(run.meter(), text, 0, begin + at)).length;
}

Value index_of(Run& run, const Value& self, const Arguments& given, bool last) {
  const int64_t at = found_at(run, self, given, last);
  if (at < 0) throw failure("substring not found");
  return of_integer(at);
}

bool has_edge(std::string_view part, const Value& edge, bool begin) {
  require_defined(edge);
  if (edge.is(Kind::tuple)) {
    const auto& all = items_of(edge);
    return std::any_of(all.begin(), all.end(),
                       [&](const Value& v) { return has_edge(part, v, begin); });
  }
  if (!edge.is(Kind::text))
    throw failure(fmt::format("{} first arg must be str or a tuple of str, not {}",
                              begin ? "startswith" : "endswith", type_name(edge)));
  return begin ? part.starts_with(bytes_of_text(edge)) : part.ends_with(bytes_of_text(edge));
}

Value edge_test(Run& run, const Value& self, const Arguments& given, bool begin) {
  const Bound bound(begin ? "startswith" : "endswith", given, {"prefix", "start", "end"}, 1);
  const auto [from, to] = looked_at(run.meter(), text_of(self), bound, 1);
  const std::string_view part = std::string_view(text_of(self).bytes).substr(from, to - from);
  return of_boolean(has_edge(part, *bound[0], begin));
}

// center(), ljust(), rjust(): the share of the missing width that goes to the left is `left`/2.
Value padded(Run& run, const Value& self, const Arguments& given, int left) {
  const Bound bound("just", given, {"width", "fillchar"}, 1);
  const Text& text = text_of(self);
  const Value fill = bound.text(1).value_or(of_text(run.meter(), " "));
  if (text_of(fill).length != 1)
    throw failure("the fill character must be exactly one character long");
  const int64_t width = bound.integer_or(0, 0);
  const int64_t missing = std::max<int64_t>(width - text.length, 0);
  const int64_t odd = missing & width & 1;
  const int64_t before = left == 2 ? missing : left == 1 ? missing / 2 + odd : 0;
  TextBuilder out(run.meter());
  for (int64_t i = 0; i < before; ++i, run.meter().step()) out.add(text_of(fill));
  out.add(text);
  for (int64_t i = before; i < missing; ++i, run.meter().step()) out.add(text_of(fill));
  return out.finish(text.markup);
}

Value cut_at(Run& run, const Text& text, size_t at, size_t length) {
  Items out(run.meter());
  out.add(part_of(run.meter(), text, 0, at));
  out.add(part_of(run.meter(), text, at, at + length));
  out.add(part_of(run.meter(), text, at + length, text.bytes.size()));
  return out.tuple();
}

Value partitioned(Run& run, const Value& self, const Arguments& given, bool last) {
  const Bound bound("partition", given, {"sep"}, 1);
  const auto separator = bound.text(0);
  if (!separator || bytes_of_text(*separator).empty()) throw failure("empty separator");
  const Text& text = text_of(self);
  const std::string_view s = bytes_of_text(*separator);
  const size_t at =
      last ? find_last_bytes(run.meter(), text.bytes, s) : find_bytes(run.meter(), text.bytes, s);
  if (at != std::string_view::npos) return cut_at(run, text, at, s.size());
  return cut_at(run, text, last ? 0 : text.bytes.size(), 0);
}

Value without_edge(Run& run, const Value& self, const Arguments& given, bool begin) {
  const Bound bound("removeprefix", given, {"prefix"}, 1);
  const auto edge = bound.text(0);
  const Text& text = text_of(self);
  const size_t n = edge ? bytes_of_text(*edge).size() : 0;
  const bool there = edge && (begin ? text.bytes.starts_with(bytes_of_text(*edge))
                                    : text.bytes.ends_with(bytes_of_text(*edge)));
  if (!there) return self;
  return part_of(run.meter(), text, begin ? n : 0, text.bytes.size() - (begin ? 0 : n));
}

}  // namespace

Value text_strip(Run& run, const Value& self, const Arguments& given) {
  return stripped_text(run, self, given, true, true);
}
Value text_lstrip(Run& run, const Value& self, const Arguments& given) {
  return stripped_text(run, self, given, true, false);
}
Value text_rstrip(Run& run, const Value& self, const Arguments& given) {
  return stripped_text(run, self, given, false, true);
}
Value text_split(Run& run, const Value& self, const Arguments& given) {
  return split_method(run, self, given, false);
}
Value text_rsplit(Run& run, const Value& self, const Arguments& given) {
  return split_method(run, self, given, true);
}
Value text_startswith(Run& run, const Value& self, const Arguments& given) {
  return edge_test(run, self, given, true);
}
Value text_endswith(Run& run, const Value& self, const Arguments& given) {
  return edge_test(run, self, given, false);
}
Value text_find(Run& run, const Value& self, const Arguments& given) {
  return of_integer(found_at(run, self, given, false));
}
Value text_rfind(Run& run, const Value& self, const Arguments& given) {
  return of_integer(found_at(run, self, given, true));
}
Value text_index(Run& run, const Value& self, const Arguments& given) {
  return index_of(run, self, given, false);
}
Value text_rindex(Run& run, const Value& self, const Arguments& given) {
  return index_of(run, self, given, true);
}
Value text_partition(Run& run, const Value& self, const Arguments& given) {
  return partitioned(run, self, given, false);
}
Value text_rpartition(Run& run, const Value& self, const Arguments& given) {
  return partitioned(run, self, given, true);
}
Value text_removeprefix(Run& run, const Value& self, const Arguments& given) {
  return without_edge(run, self, given, true);
}
Value text_removesuffix(Run& run, const Value& self, const Arguments& given) {
  return without_edge(run, self, given, false);
}
Value text_center(Run& run, const Value& self, const Arguments& given) {
  return padded(run, self, given, 1);
}
Value text_ljust(Run& run, const Value& self, const Arguments& given) {
  return padded(run, self, given, 0);
}
Value text_rjust(Run& run, const Value& self, const Arguments& given) {
  return padded(run, self, given, 2);
}

Value text_splitlines(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("splitlines", given, {"keepends"});
  std::vector<size_t> ends;
  const auto lines = lines_of(run.meter(), text_of(self).bytes, &ends);
  Items out(run.meter());
  for (size_t i = 0; i < lines.size(); ++i) {
    const size_t end = bound.truth_or(0, false) ? ends[i] : lines[i].second;
    out.add(part_of(run.meter(), text_of(self), lines[i].first, end));
  }
  return out.list();
}

Value text_replace(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("replace", given, {"old", "new", "count"}, 2);
  const auto old = bound.text(0), fresh = bound.text(1);
  if (!old || !fresh) throw failure("replace() argument must be str, not NoneType");
  const bool markup = text_of(self).markup;
  const Value put = markup ? escaped(run.meter(), *fresh) : *fresh;
  return replaced(run.meter(), text_of(self), bytes_of_text(*old), text_of(put),
                  bound.integer_or(2, -1));
}

Value text_count(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("count", given, {"sub", "start", "end"}, 1);
  const auto what = bound.text(0);
  if (!what) throw failure("count() takes a str, not NoneType");
  const auto [begin, end] = looked_at(run.meter(), text_of(self), bound, 1);
  const Value part = part_of(run.meter(), text_of(self), begin, end);
  const size_t n = bytes_of_text(*what).size();
  if (n == 0) return of_integer(text_of(part).length + 1);
  int64_t count = 0;
  size_t at = 0;
  while ((at = find_bytes(run.meter(), bytes_of_text(part), bytes_of_text(*what), at)) !=
         std::string_view::npos) {
    ++count;
    at += n;
  }
  return of_integer(count);
}

Value text_join(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("join", given, {"iterable"}, 1);
  const bool markup = text_of(self).markup;
  TextBuilder out(run.meter());
  bool first = true;
  int64_t place = 0;
  for (const Value& v : walk(run, *bound[0])) {
    if (!v.is(Kind::text))
      throw failure(
          fmt::format("sequence item {}: expected str instance, {} found", place, type_name(v)));
    ++place;
    if (!std::exchange(first, false)) out.add(text_of(self));
    out.add(text_of(markup ? escaped(run.meter(), v) : v));
  }
  return out.finish(markup);
}

Value text_zfill(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("zfill", given, {"width"}, 1);
  const Text& text = text_of(self);
  const bool sign = text.bytes.starts_with('-') || text.bytes.starts_with('+');
  TextBuilder out(run.meter());
  out.add(text, 0, sign ? 1 : 0);
  for (int64_t i = text.length; i < bound.integer_or(0, 0); ++i, run.meter().step()) out.add("0");
  out.add(text, sign ? 1 : 0, text.bytes.size());
  return out.finish(text.markup);
}

Value text_format(Run& run, const Value& self, const Arguments& given) {
  return brace_formatted(run, text_of(self), given);
}

Value text_format_map(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("format_map", given, {"mapping"}, 1);
  if (!bound[0]->is(Kind::dict)) throw failure("format_map() takes a mapping");
  Arguments named;
  for (const auto& [key, v] : dict_of(*bound[0]).items)
    named.named.emplace_back(text_of(as_text(run, key)).bytes, v);
  return brace_formatted(run, text_of(self), named);
}

}  // namespace nibble::jinja
