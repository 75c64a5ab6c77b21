// The marks of a drawing with their attributes: what a test of a plot measures.
#pragma once

#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble::testing {

struct Mark {
  std::string tag, text;  ///< text: up to the next tag
  std::map<std::string, std::string> attributes;

  double number(const std::string& name) const {
    return std::strtod(attributes.at(name).c_str(), nullptr);
  }
  bool has_class(std::string_view css_class) const {
    const auto found = attributes.find("class");
    return found != attributes.end() && found->second == css_class;
  }
};

/// Every element of markup without faults (markup_fault()), in order.
inline std::vector<Mark> marks(std::string_view svg) {
  std::vector<Mark> out;
  for (size_t at = svg.find('<'); at != std::string_view::npos; at = svg.find('<', at + 1)) {
    if (svg[at + 1] == '/') continue;
    Mark mark;
    size_t i = svg.find_first_of(" />", at + 1);
    mark.tag = svg.substr(at + 1, i - at - 1);
    for (i = svg.find_first_not_of(' ', i); svg[i] != '>' && svg[i] != '/';
         i = svg.find_first_not_of(' ', i)) {
      const size_t equals = svg.find('=', i), end = svg.find('"', equals + 2);
      mark.attributes.emplace(svg.substr(i, equals - i), svg.substr(equals + 2, end - equals - 2));
      i = end + 1;
    }
    const size_t begin = svg.find('>', i) + 1;
    mark.text = svg.substr(begin, svg.find('<', begin) - begin);
    out.push_back(std::move(mark));
  }
  return out;
}

/// Those with a tag and a class.
inline std::vector<Mark> marks(std::string_view svg, std::string_view tag,
                               std::string_view css_class) {
  std::vector<Mark> out;
  for (Mark& m : marks(svg)) {
    if (m.tag == tag && m.has_class(css_class)) out.push_back(std::move(m));
  }
  return out;
}

/// The words of all texts, in order.
inline std::vector<std::string> texts_of(std::string_view svg) {
  std::vector<std::string> out;
  for (const Mark& m : marks(svg)) {
    if (m.tag == "text") out.push_back(m.text);
  }
  return out;
}

/// The points of a path: "M1 2L3 4" (and a closing "Z").
inline std::vector<std::pair<double, double>> points_of(const Mark& path) {
  std::vector<std::pair<double, double>> out;
  const std::string& d = path.attributes.at("d");
  for (size_t at = d.find_first_of("ML"); at != std::string::npos;
       at = d.find_first_of("ML", at + 1)) {
    char* end = nullptr;
    const double x = std::strtod(d.c_str() + at + 1, &end);
    out.emplace_back(x, std::strtod(end, nullptr));
  }
  return out;
}

}  // namespace nibble::testing
