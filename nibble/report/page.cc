#include "nibble/report/page.h"

#include <fmt/format.h>

#include "nibble/report/html.h"
#include "nibble/report/sections.h"

namespace nibble {
namespace {

std::string navigation(const std::vector<PageSection>& sections) {
  std::string items;
  for (const PageSection& s : sections) {
    if (!s.body.empty()) items += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", s.id, s.link);
  }
  return "<nav aria-label=\"Sections\"><ul>\n" + items + "</ul></nav>\n";
}

std::string over_line(const PageHead& head) {
  std::string out = escape_html(head.title);
  if (!head.subject.empty()) out += " &middot; " + escape_html(head.subject);
  if (!head.date.empty()) out += " &middot; " + escape_html(head.date);
  return "<p class=\"over\">" + out + "</p>\n";
}

}  // namespace

std::string render_page(const PageHead& head, const std::vector<Measurement>& models,
                        const std::vector<PageSection>& sections) {
  std::string body = "<header>\n" + over_line(head) + "<h1>" + escape_html(headline(models)) +
                     "</h1>\n" + lede(models) + navigation(sections) + "</header>\n<main>\n" +
                     tiles(models);
  for (const PageSection& s : sections) body += html_section(s.id, s.heading, s.body);
  body += fmt::format(
      "</main>\n<footer>Written by nibble {}. This page is one file and asks for nothing "
      "from a network.</footer>\n",
      escape_html(head.version));
  return html_page(head.title.empty() ? "nibble" : head.title, body);
}

}  // namespace nibble
