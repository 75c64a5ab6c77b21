#include "nibble/report/html.h"

#include <fmt/format.h>

#include "nibble/report/text.h"

namespace nibble {
namespace {

std::string class_attribute(std::string_view css_class) {
  return css_class.empty() ? "" : fmt::format(" class=\"{}\"", escape_html(css_class));
}

/// Markup without its tags: what an attribute can hold.
std::string without_tags(std::string_view html) {
  std::string out;
  bool inside = false;
  for (const char c : html) {
    if (c == '<') inside = true;
    if (!inside) out += c;
    if (c == '>') inside = false;
  }
  return out;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : display_text(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string escape_name(std::string_view name) {
  std::string out;
  for (const char c : escape_html(name)) {
    out += c;
    if (c == '.' || c == '_') out += "<wbr>";
  }
  return out;
}

HtmlTable::HtmlTable(std::string caption, std::string css_class)
    : caption_(std::move(caption)), css_class_(std::move(css_class)) {}

HtmlTable& HtmlTable::group(std::string_view text, int columns) {
  // A heading of nothing is a plain cell, so that it is not announced.
  groups_ += text.empty() ? fmt::format("<td colspan=\"{}\"></td>", columns)
                          : fmt::format("<th scope=\"colgroup\" colspan=\"{}\">{}</th>", columns,
                                        escape_html(text));
  return *this;
}

HtmlTable& HtmlTable::column(std::string_view text, std::string_view hint,
                             std::string_view css_class) {
  const std::string title = hint.empty() ? "" : fmt::format(" title=\"{}\"", escape_html(hint));
  columns_ += fmt::format("<th scope=\"col\"{}{}>{}</th>", class_attribute(css_class), title,
                          escape_html(text));
  return *this;
}

HtmlTable& HtmlTable::row(std::vector<HtmlCell> cells) {
  rows_ += "<tr>";
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string attributes = class_attribute(cells[i].css_class);
    rows_ += i == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", attributes, cells[i].html)
                    : fmt::format("<td{}>{}</td>", attributes, cells[i].html);
  }
  rows_ += "</tr>\n";
  return *this;
}

std::string HtmlTable::finish() const {
  const std::string head = (groups_.empty() ? "" : "<tr class=\"groups\">" + groups_ + "</tr>\n") +
                           "<tr>" + columns_ + "</tr>";
  return fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n"
      "<table{}>\n<caption>{}</caption>\n<thead>{}</thead>\n<tbody>\n{}</tbody>\n</table>\n</"
      "div>\n",
      without_tags(caption_), class_attribute(css_class_), caption_, head, rows_);
}

std::string html_section(std::string_view id, std::string_view heading, std::string_view body) {
  if (body.empty()) return "";
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-h\">\n<h2 id=\"{0}-h\">{1}</h2>\n{2}</section>\n",
      escape_html(id), escape_html(heading), body);
}

std::string html_page(std::string_view title, std::string_view body) {
  // The policy refuses whatever an escaping mistake could let in: no script, no request at all.
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n"
      "<style>\n{}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
      escape_html(title), page_style(), body);
}

}  // namespace nibble
