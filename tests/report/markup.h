// A small checker of markup: are tags closed in order, and does a page ask for anything from
// outside?
#pragma once

#include <cctype>
#include <string>
#include <string_view>
#include <vector>

namespace nibble::testing {

/// "" where every tag of `html` is closed in order and every attribute is quoted and said once;
/// else what is wrong. Knows no more of HTML than nibble writes.
inline std::string markup_fault(std::string_view html) {
  static constexpr std::string_view kVoid[] = {"meta", "wbr", "br"};
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string_view::npos; at = html.find('<', at + 1)) {
    if (html.substr(at).starts_with("<!DOCTYPE html>")) continue;
    size_t i = at + 1;
    const bool closing = i < html.size() && html[i] == '/';
    i += closing;
    std::string name;
    while (i < html.size() && (std::isalnum(static_cast<unsigned char>(html[i])) != 0))
      name += html[i++];
    if (name.empty()) return "a bare < at byte " + std::to_string(at);
    bool itself = false;
    std::vector<std::string> attributes;
    while (i < html.size() && html[i] != '>') {
      if (html[i] == '/') {
        itself = true;
        ++i;
        continue;
      }
      if (html[i] == ' ' || html[i] == '\n') {
        ++i;
        continue;
      }
      std::string attribute;
      while (i < html.size() && html[i] != '=' && html[i] != '>' && html[i] != ' ')
        attribute += html[i++];
      if (i + 1 >= html.size() || html[i] != '=' || html[i + 1] != '"')
        return "attribute " + attribute + " of <" + name + "> is not quoted";
      const size_t end = html.find('"', i + 2);
      if (end == std::string_view::npos) return "a quote of <" + name + "> is not closed";
      for (const std::string& other : attributes) {
        if (other == attribute)
          return "attribute " + attribute + " of <" + name + "> is said twice";
      }
      attributes.push_back(attribute);
      i = end + 1;
    }
    if (i >= html.size()) return "<" + name + " is not finished";
    bool is_void = itself;
    for (const std::string_view v : kVoid) is_void = is_void || name == v;
    if (is_void) {
      at = i;
      continue;
    }
    if (!closing) {
      open.push_back(name);
    } else if (open.empty() || open.back() != name) {
      return "</" + name + "> closes " + (open.empty() ? "nothing" : "<" + open.back() + ">");
    } else {
      open.pop_back();
    }
    at = i;
  }
  return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

}  // namespace nibble::testing
