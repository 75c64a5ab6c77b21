// HTML by hand: escaping, tables and the shell of a page that asks for nothing from a network.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nibble {

/// Text made safe as content and inside a quoted attribute; what could steer is made visible
/// (display_text()). Everything that comes from outside goes through here.
std::string escape_html(std::string_view text);

/// escape_html() for long names: a line may break behind "." and "_".
std::string escape_name(std::string_view name);

/// A cell of a table; `html` is already markup.
struct HtmlCell {
  std::string html;
  std::string css_class;
};

/// A table in a box of its own that scrolls sideways where the page is narrow; the first column
/// stays in view. Cells of the first column are row headers.
class HtmlTable {
 public:
  /// `caption` says what the table shows (markup); it is also the name of the scrolling region.
  explicit HtmlTable(std::string caption, std::string css_class = "");
  /// A heading over several columns; when used, the spans should cover every column.
  HtmlTable& group(std::string_view text, int columns);
  /// A column's heading, with an explanation shown on hover where `hint` is not empty.
  HtmlTable& column(std::string_view text, std::string_view hint = "",
                    std::string_view css_class = "");
  HtmlTable& row(std::vector<HtmlCell> cells);
  std::string finish() const;

 private:
  std::string caption_, css_class_, groups_, columns_, rows_;
};

/// <section id=...> with a heading; `body` is markup. Nothing where the body is empty.
std::string html_section(std::string_view id, std::string_view heading, std::string_view body);

/// The whole document around `body`.
std::string html_page(std::string_view title, std::string_view body);

/// The style sheet of every page: colours as custom properties for light and dark.
std::string_view page_style();

}  // namespace nibble
