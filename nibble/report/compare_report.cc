#include "nibble/report/compare_report.h"

#include "nibble/report/demo_report.h"

namespace nibble {

// A page without training, weights and outliers is the demo's page without those parts.
std::string render_html(const CompareReport& report) {
  DemoReport page;
  page.title = report.title;
  page.machine = report.machine;
  page.date = report.date;
  page.version = report.version;
  page.command = report.command;
  page.data = report.protocol;
  page.models = report.models;
  return render_html(page);
}

}  // namespace nibble
