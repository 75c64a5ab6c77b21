// A decoder as the graph of an ONNX file: its plan (layer_plan.h), step by step, as nodes instead
// of numbers. What reference_layer.cc computes, by standard operators of opset 13.
#pragma once

#include <array>
#include <map>
#include <string>

#include "nibble/model/layer_plan.h"
#include "nibble/model/onnx_parameters.h"

namespace nibble {

/// Error{unsupported} for what no standard operators of the graph say: layers of experts, short
/// convolutions.
void require_onnx_decoder(const DecoderConfig& config);

class OnnxDecoder {
 public:
  /// All of them are referred to.
  OnnxDecoder(const DecoderConfig& config, const OnnxParameters& parameters, OnnxGraph& graph)
      : config_(config), parameters_(parameters), graph_(graph) {}
  /// Adds everything to the graph:
  ///
  ///   input_ids, position_ids      int64 [batch, rows]
  ///   attention_mask               int64 [batch, past + rows]: 0 where nothing is to be seen
  ///   past_key_values.N.key, .value  f32 [batch, kv_heads, past, head_dim]
  ///   logits                       f32 [batch, rows, vocab_size]
  ///   present.N.key, .value        f32 [batch, kv_heads, past + rows, head_dim]
  void add();

 private:
  using Name = std::string;

  void declare();
  // Values that all layers share.
  void begin();
  Name mask(int64_t window);
  void turns();

  Name embedded();
  void layer(int index);
  void head(const Name& stream);

  void run(const Step& step);
  void norm(const Step& step);
  void project(const Step& step);
  void attend();
  Name heads(const Name& x, int64_t count, int norm_index);
  Name turned(const Name& x);
  Name cached(const Name& x, std::string_view what);
  Name normed(const Name& x, const NormPlan& norm, const ParamKey& key);
  NormPlan of_stream(Role role) const;
  Name ended(LinearEnd end, const Name& gate, const Name& up);
  Name gelu_tanh(const Name& x);
  Name capped(const Name& x, double cap);

  // Short forms.
  Name op(std::string_view op, std::vector<Name> in, std::vector<OnnxAttribute> attributes = {}) {
    return graph_.value(op, std::move(in), std::move(attributes));
  }
  Name list(std::vector<int64_t> values) { return graph_.constant(std::move(values)); }
  Name number(double value) { return graph_.constant(static_cast<float>(value)); }
  Name& buffer(BufferId id) { return buffers_[static_cast<size_t>(id)]; }

  const DecoderConfig& config_;
  const OnnxParameters& parameters_;
  OnnxGraph& graph_;
  Name rows_, columns_;            // positions of the queries [rows, 1] and of the keys [total]
  Name seen_;                      // by attention_mask, in front of the columns
  std::map<int64_t, Name> masks_;  // by window
  Name cos_, sin_;                 // [batch, rows, 1, head_dim / 2]
  // Of the layer that is being added.
  int layer_ = -1;
  LayerPlan plan_;
  std::array<Name, kBuffers> buffers_;
};

}  // namespace nibble
