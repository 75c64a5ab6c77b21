// The report's kinds of plot. Each gives inline SVG that fills the width it gets, or a sentence
// where there is nothing to draw. Colours and shapes are the models' (0 baseline, 1 to 5).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/eval/distribution.h"

namespace nibble {

struct ScatterPoint {
  double x = 0, y = 0;
  double y_error = 0;  ///< drawn as a whisker on both sides where positive
  std::string label, tip;
  int colour = 0;
};
struct ScatterPlot {
  std::string description, x_title, y_title;
  bool log_y = false;
  std::vector<ScatterPoint> points;
};
/// Points with their names beside them, placed where they cover nothing if that can be.
std::string scatter_plot(const ScatterPlot& plot);

struct Level {
  double value = 0;
  std::string label;
  int colour = 0;
};
struct RooflinePlot {
  std::string description;
  std::vector<Level> ceilings;       ///< most operations a second
  double bytes_per_second = 0;       ///< the slope: read from memory
  std::vector<ScatterPoint> points;  ///< operations a byte read, operations a second
};
/// What was reached under what the machine allows (Williams, Waterman and Patterson 2009), both
/// axes logarithmic. The first ceiling ends the slope.
std::string roofline_plot(const RooflinePlot& plot);

struct CurvePlot {
  std::string description, x_title, y_title;
  std::vector<float> values;  ///< at steps 1, 2, ...
  std::vector<Level> levels;  ///< horizontal lines to compare with
};
/// A noisy curve: the range of each stretch of steps as a band, and its running mean as a line.
std::string curve_plot(const CurvePlot& plot);

struct LineSeries {
  std::string label;
  int colour = 0;
  std::vector<std::pair<double, double>> points;  ///< x ascending
};
struct LinePlot {
  std::string description, x_title, y_title;
  bool share = false;  ///< values lie in 0..1: the scale goes no further
  std::vector<LineSeries> series;
};
/// Lines with their names at their ends. Lines of one colour differ in their dashes.
std::string line_plot(const LinePlot& plot);

struct Bar {
  double value = 0;
  std::string text, tip;
  int colour = 0;
  bool pale = false;
  double low = 0, high = 0;  ///< a whisker between them, where high is positive
};
struct BarRow {
  std::string label;
  std::vector<Bar> bars;
};
struct BarChart {
  std::string description;
  /// Bars longer than this are drawn broken at full length, so that one does not flatten the
  /// others; 0: none is.
  double limit = 0;
  std::vector<BarRow> rows;
};
/// Horizontal bars from 0, the row's name above them and the number behind each.
std::string bar_chart(const BarChart& chart);

struct HistogramLayer {
  Histogram histogram;
  int colour = 0;
  bool outline = false;  ///< drawn as a line over the others instead of an area
};
struct HistogramPlot {
  std::string description, x_title;
  /// Drawn as densities on one scale, set by the first outline (else by the first layer); what is
  /// taller is cut at the top.
  std::vector<HistogramLayer> layers;
  double height = 130;
};
std::string histogram_plot(const HistogramPlot& plot);

/// A sentence in place of a plot or table.
std::string nothing_to_show(std::string_view why);

}  // namespace nibble
