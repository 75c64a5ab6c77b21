// A small random model with any tensors, plain and quantized, run for a few tokens.
#pragma once

#include <cmath>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "fuzz/folder.h"
#include "fuzz/random_config.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/model/model.h"
#include "nibble/model/session.h"
#include "nibble/quant/rtn.h"
#include "nibble/quant/static_activations.h"

class RandomPass {
 public:
  explicit RandomPass(Bytes& in) : in_(in), random_(in.next() + 1U) {}

  /// Ends in finite logits or an Error.
  void run() {
    nibble::Model model = make();
    const Folder folder;
    if (in_.next() % 16 == 15) model = through_files(model, folder);
    const nibble::Decoder decoder = nibble::load_decoder(model, options());
    nibble::KvCache cache = make_cache(decoder), other = make_cache(decoder);
    exec_.threads = 1 + in_.next() % 2;
    prefill(decoder, cache);
    for (int i = in_.next() % 4; i > 0; --i) prefill(decoder, cache, 1);
    prefill(decoder, other);
    for (int i = in_.next() % 4; i > 0; --i) decode(decoder, cache, other);
  }

 private:
  static constexpr float kFills[] = {0.0f, 1.0f, -0.0f, 3e38f, -3e38f, 1e-40f, 1e20f, 1e-20f};
  static constexpr float kSpots[] = {NAN, INFINITY, -INFINITY, 3e38f, 65504.0f, 1e-45f};
  static constexpr nibble::DType kTypes[] = {nibble::DType::f32, nibble::DType::f16,
                                             nibble::DType::bf16};
  static constexpr nibble::DType kCaches[] = {nibble::DType::f32, nibble::DType::f16,
                                              nibble::DType::i8};
  static constexpr const char* kSchemes[] = {
      "int8",   "int4:g8",     "int8:a8",        "int4:g8:asym:a8", "int3:asym", "int2:g4",
      "nf4:g8", "mxfp4",       "nvfp4",          "fp8_e4m3:afp8",   "ternary",   "fp8_e5m2",
      "fp4:g8", "int5:tensor", "int8:a8outlier", "int8:a8static"};

  // In [-1, 1].
  float one() { return static_cast<float>(random_() % 2001) / 1000 - 1; }

  // Values around 0, all of one kind, or such with a few that stand out.
  nibble::Tensor floats(const nibble::Shape& shape) {
    nibble::Tensor out(nibble::DType::f32, shape);
    const auto values = out.mutable_data<float>();
    const int kind = in_.next() % 16;
    const float fill = in_.of(kFills), width = kind < 12 ? 0.3f : fill;
    for (float& v : values) v = kind == 11 ? fill : one() * width;
    if (kind == 10) values[random_() % values.size()] = in_.of(kSpots);
    return out;
  }

  // One tensor, or those of a quantized matrix, some of whose scales stand out.
  void add(const nibble::ParamSpec& spec, nibble::WeightMap& out) {
    const nibble::Tensor plain = floats(spec.shape);
    const int how = in_.next() % 4;
    if (how != 3 || !spec.is_matrix()) {
      out.emplace(spec.name, nibble::convert(plain, kTypes[how % 3]));
      return;
    }
    nibble::RtnOptions options;
    options.scale_dtype = in_.of(kTypes);
    auto q = nibble::quantize_rtn(plain, nibble::parse_scheme(in_.of(kSchemes)), options, "w");
    if (in_.next() % 8 == 7) q.scales.mutable_raw()[q.scales.bytes() - 1] = std::byte{in_.next()};
    if (nibble::needs_number(q.scheme)) q.activation = floats(nibble::Shape{1});
    out.emplace(spec.name, std::move(q));
  }

  nibble::Model make() {
    const std::string text = random_config(in_);
    const auto fields = nibble::JsonFields::parse(text);
    const auto config = nibble::architecture(fields.string("model_type")).read_config(fields);
    nibble::validate(config);
    nibble::Model model;
    model.config = config;
    nibble::WeightMap weights;
    for (const auto& spec : nibble::parameter_table(config)) add(spec, weights);
    model.weights = nibble::weights_in_memory(std::move(weights));
    return model;
  }

  // The same model, written and opened; as it is where some of its numbers lie in no file.
  nibble::Model through_files(const nibble::Model& model, const Folder& folder) {
    std::vector<nibble::WritableParameter> parameters;
    for (const auto& spec : nibble::parameter_table(model.config)) {
      nibble::WritableParameter p{.spec = spec};
      const nibble::StoredAs stored = model.weights->stored_as(spec.name);
      if (stored.scheme && !nibble::has_layout(*stored.scheme)) return model;
      const nibble::Weight weight = nibble::load_weight(model, spec);
      p.scheme = stored.scheme;
      p.dtype = stored.dtype;
      p.make = [weight] { return weight; };
      parameters.push_back(std::move(p));
    }
    nibble::write_model(folder.path(), model.config, parameters, nullptr);
    return nibble::open_model(folder.path());
  }

  nibble::LinearOptions options() {
    const uint8_t bits = in_.next();
    return {.dequantize_on_the_fly = bits % 4 == 3, .bf16_products = bits % 8 == 4};
  }
  nibble::KvCache make_cache(const nibble::Decoder& decoder) {
    return decoder.make_cache(1 + in_.next() % 24, in_.of(kCaches));
  }
  int32_t id(const nibble::Decoder& decoder) {
    return static_cast<int32_t>(in_.next() % (decoder.config().vocab_size + 1));
  }
  static void require_finite(std::span<const float> logits) {
    for (const float v : logits)
      if (!std::isfinite(v)) std::abort();
  }
  void prefill(const nibble::Decoder& decoder, nibble::KvCache& cache, size_t count = 0) {
    std::vector<int32_t> ids(count > 0 ? count : 1 + in_.next() % 12);
    for (int32_t& one : ids) one = id(decoder);
    const auto wanted =
        in_.next() % 2 == 0 ? nibble::Decoder::Logits::all : nibble::Decoder::Logits::last;
    require_finite(decoder.forward(ids, cache, wanted, exec_));
  }
  void decode(const nibble::Decoder& decoder, nibble::KvCache& a, nibble::KvCache& b) {
    // One of them reads more than a token now and then.
    const int32_t ids[] = {id(decoder), id(decoder), id(decoder)};
    const size_t first = in_.next() % 8 == 0 ? 2 : 1;
    const nibble::Decoder::Item batch[] = {{{ids, first}, &a}, {{ids + 2, 1}, &b}};
    nibble::Session session(decoder);
    require_finite(session.run(batch, exec_));
  }

  Bytes& in_;
  std::minstd_rand random_;
  nibble::Exec exec_;
};
