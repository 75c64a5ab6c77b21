// The bytes of GGUF files, wrong ones included: every number of the header can be set to a lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble::test {

/// A number as it lies in a file.
template <class T>
std::string little(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline std::string gguf_string(std::string_view text) {
  return little(static_cast<uint64_t>(text.size())) + std::string(text);
}

template <class T>
std::string bytes_of_all(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

struct GgufBytes {
  struct Entry {
    std::string key;
    uint32_t type = 0;
    std::string value;  ///< behind the type
  };
  struct Record {
    std::string name;
    std::vector<uint64_t> extents;  ///< innermost first
    uint32_t type = 0;
    std::string data;
    std::optional<uint64_t> offset;  ///< where it is not behind the one before
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  size_t alignment = 32;  ///< of the data; general.alignment is a key like any other
  std::optional<uint64_t> tensor_count, entry_count;
  std::vector<Entry> entries;
  std::vector<Record> records;

  GgufBytes& raw(std::string key, uint32_t type, std::string value) {
    entries.push_back({std::move(key), type, std::move(value)});
    return *this;
  }
  GgufBytes& u32(std::string key, uint32_t v) { return raw(std::move(key), 4, little(v)); }
  GgufBytes& f32(std::string key, float v) { return raw(std::move(key), 6, little(v)); }
  GgufBytes& boolean(std::string key, bool v) { return raw(std::move(key), 7, v ? "\1" : zero()); }
  GgufBytes& string(std::string key, std::string_view v) {
    return raw(std::move(key), 8, gguf_string(v));
  }
  /// Any array: `items` as they lie.
  GgufBytes& array(std::string key, uint32_t type, uint64_t count, const std::string& items) {
    return raw(std::move(key), 9, little(type) + little(count) + items);
  }
  GgufBytes& strings(std::string key, const std::vector<std::string>& v) {
    std::string items;
    for (const std::string& s : v) items += gguf_string(s);
    return array(std::move(key), 8, v.size(), items);
  }
  GgufBytes& i32s(std::string key, const std::vector<int32_t>& v) {
    return array(std::move(key), 5, v.size(), bytes_of_all(v));
  }
  GgufBytes& f32s(std::string key, const std::vector<float>& v) {
    return array(std::move(key), 6, v.size(), bytes_of_all(v));
  }
  /// In place of the value that a key has, which must be there.
  GgufBytes& set(std::string_view key, uint32_t type, std::string value) {
    Entry& e = entry(key);
    e.type = type, e.value = std::move(value);
    return *this;
  }
  GgufBytes& without(std::string_view key) {
    entries.erase(entries.begin() + (&entry(key) - entries.data()));
    return *this;
  }
  bool contains(std::string_view key) const {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const Entry& e) { return e.key == key; });
  }

  GgufBytes& tensor(std::string name, std::vector<uint64_t> extents, uint32_t type,
                    std::string data) {
    records.push_back({std::move(name), std::move(extents), type, std::move(data), {}});
    return *this;
  }
  GgufBytes& f32_tensor(std::string name, std::vector<uint64_t> extents,
                        const std::vector<float>& values) {
    return tensor(std::move(name), std::move(extents), 0, bytes_of_all(values));
  }
  Record& record(std::string_view name) {
    return *std::find_if(records.begin(), records.end(),
                         [&](const Record& r) { return r.name == name; });
  }
  GgufBytes& without_tensor(std::string_view name) {
    records.erase(records.begin() + (&record(name) - records.data()));
    return *this;
  }

  /// Everything in front of the data, filled up.
  std::string header() const {
    std::string out = magic + little(version) + little(tensor_count.value_or(records.size())) +
                      little(entry_count.value_or(entries.size()));
    for (const Entry& e : entries) out += gguf_string(e.key) + little(e.type) + e.value;
    uint64_t next = 0;
    for (const Record& r : records) {
      out += gguf_string(r.name) + little(static_cast<uint32_t>(r.extents.size()));
      for (const uint64_t n : r.extents) out += little(n);
      out += little(r.type) + little(r.offset.value_or(next));
      next += filled(r.data.size());
    }
    out.resize(filled(out.size()));
    return out;
  }
  std::string bytes() const {
    std::string out = header();
    for (const Record& r : records) {
      out.resize(filled(out.size()));
      out += r.data;
    }
    return out;
  }

 private:
  static std::string zero() { return {'\0'}; }
  size_t filled(size_t size) const { return (size + alignment - 1) / alignment * alignment; }
  Entry& entry(std::string_view key) {
    return *std::find_if(entries.begin(), entries.end(),
                         [&](const Entry& e) { return e.key == key; });
  }
};

}  // namespace nibble::test
