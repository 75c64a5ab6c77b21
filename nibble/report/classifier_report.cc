#include "nibble/report/classifier_report.h"

#include "nibble/report/numbers.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/table.h"

namespace nibble {

std::string render_table(const std::vector<ClassifierMeasurement>& models, int width) {
  TerminalTable table({{"model"},
                       {"weights", 5},
                       {"file", 0},
                       {"smaller", 1},
                       {"memory", 4},
                       {"accuracy", 0},
                       {"same", 1},
                       {"output MSE", 2},
                       {"one batch", 2},
                       {"speed", 1}});
  for (size_t i = 0; i < models.size(); ++i) {
    const ClassifierMeasurement& m = models[i];
    table.add({m.name, format_count(m.parameters), format_bytes(m.file_bytes),
               format_fixed(m.compression_ratio, 2) + "x", format_bytes(m.memory_bytes),
               m.accuracy >= 0 ? format_percent(m.accuracy, 2) : "-",
               i > 0 ? format_percent(m.prediction_agreement, 2) : "-",
               i > 0 ? format_significant(m.output_mse, 3) : "-",
               m.latency.runs() > 0 ? format_seconds_and_spread(m.latency) : "-",
               format_speedup_and_interval(speedup(m.latency, m.base_latency), "x")});
  }
  return table.render(width);
}

}  // namespace nibble
