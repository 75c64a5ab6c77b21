#include "model.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <tuple>

#include "arrays.h"
#include "nibble/api/model.h"
#include "pieces.h"
#include "watch.h"

namespace nibble::python {
namespace {

using Ids = std::vector<int32_t>;
using ModelPointer = std::shared_ptr<api::Model>;

ModelPointer open_model(const std::string& model, const api::OpenOptions& options, int threads,
                        nb::object progress, nb::object message) {
  Watch watch(std::move(progress), std::move(message));
  ModelPointer out;
  watch.run([&] {
    out = std::make_shared<api::Model>(api::Model::open(model, options, watch.control(threads)));
  });
  return out;
}

Array<float> logits(const api::Model& model, const Ids& ids, int threads) {
  Watch watch;
  api::Floats out;
  watch.run([&] { out = model.logits(ids, watch.control(threads)); });
  return to_numpy(std::move(out.values), out.shape);
}

Array<float> weight(const api::Model& model, const std::string& name, int threads) {
  Watch watch;
  api::Floats out;
  watch.run([&] { out = model.weight(name, watch.control(threads)); });
  return to_numpy(std::move(out.values), out.shape);
}

using WeightRow = std::tuple<std::string, std::vector<int64_t>, std::string>;

std::vector<WeightRow> weights(const api::Model& model) {
  std::vector<WeightRow> out;
  for (const api::WeightInfo& w : model.weights()) out.emplace_back(w.name, w.shape, w.stored_as);
  return out;
}

void bind_options(nb::module_& m) {
  nb::class_<api::OpenOptions>(m, "OpenOptions")
      .def(nb::init<>())
      .def_rw("scheme", &api::OpenOptions::scheme)
      .def_rw("keep", &api::OpenOptions::keep)
      .def_rw("quantize", &api::OpenOptions::also)
      .def_rw("activations", &api::OpenOptions::activations)
      .def_rw("adapter", &api::OpenOptions::adapters);
  using O = api::GenerateOptions;
  nb::class_<O>(m, "GenerateOptions")
      .def(nb::init<>())
      .def_rw("prompts", &O::prompts)
      .def_rw("chat", &O::chat)
      .def_rw("system", &O::system)
      .def_rw("chat_format", &O::chat_format)
      .def_rw("template_arg", &O::template_arg)
      .def_rw("template_date", &O::template_date)
      .def_rw("temperature", &O::temperature, nb::arg().none())
      .def_rw("top_k", &O::top_k, nb::arg().none())
      .def_rw("top_p", &O::top_p, nb::arg().none())
      .def_rw("min_p", &O::min_p, nb::arg().none())
      .def_rw("repetition_penalty", &O::repetition_penalty, nb::arg().none())
      .def_rw("presence_penalty", &O::presence_penalty, nb::arg().none())
      .def_rw("frequency_penalty", &O::frequency_penalty, nb::arg().none())
      .def_rw("typical_p", &O::typical_p, nb::arg().none())
      .def_rw("top_n_sigma", &O::top_n_sigma, nb::arg().none())
      .def_rw("dry_multiplier", &O::dry_multiplier, nb::arg().none())
      .def_rw("dry_base", &O::dry_base, nb::arg().none())
      .def_rw("dry_allowed_length", &O::dry_allowed_length, nb::arg().none())
      .def_rw("dry_breakers", &O::dry_breakers, nb::arg().none())
      .def_rw("logit_bias", &O::logit_bias)
      .def_rw("logprobs", &O::logprobs, nb::arg().none())
      .def_rw("stop", &O::stop)
      .def_rw("max_new_tokens", &O::max_new_tokens)
      .def_rw("seed", &O::seed)
      .def_rw("shift", &O::shift)
      .def_rw("prefill_chunk", &O::prefill_chunk)
      .def_rw("kv", &O::kv);
}

void bind_pieces(nb::module_& m) {
  nb::class_<Pieces>(m, "Pieces", "What a model writes, piece by piece.")
      .def(
          "__init__",
          [](Pieces* self, ModelPointer model, const api::GenerateOptions& options, int threads,
             nb::object message) {
            new (self) Pieces(std::move(model), options, threads, std::move(message));
          },
          nb::arg("model"), nb::arg("options"), nb::arg("threads"), nb::arg("message").none())
      .def("next", &Pieces::next)
      .def("close", &Pieces::close)
      .def("json", [](Pieces& p) { return p.result().json; })
      .def("text", [](Pieces& p) { return p.result().texts.front().text; })
      .def("ids", [](Pieces& p) { return p.result().texts.front().ids; })
      .def("prompt_ids", [](Pieces& p) { return p.result().texts.front().prompt_ids; });
}

}  // namespace

void bind_model(nb::module_& m) {
  bind_options(m);
  nb::class_<api::Model>(m, "Model")
      .def_prop_ro("path", [](const api::Model& model) { return model.path(); })
      .def_prop_ro("type", &api::Model::type)
      .def_prop_ro("scheme", &api::Model::scheme)
      .def_prop_ro("vocabulary", &api::Model::vocabulary)
      .def_prop_ro("context", &api::Model::context)
      .def_prop_ro("parameters", &api::Model::parameters)
      .def("encode", &api::Model::encode, nb::arg("text"), nb::arg("special"))
      .def(
          "decode",
          [](const api::Model& model, const Ids& ids, bool skip_special) {
            return model.decode(ids, skip_special);
          },
          nb::arg("ids"), nb::arg("skip_special"))
      .def("logits", logits, nb::arg("ids"), nb::arg("threads"))
      .def("weights", weights)
      .def("weight", weight, nb::arg("name"), nb::arg("threads"));
  m.def("open", open_model, nb::arg("model"), nb::arg("options"), nb::arg("threads"),
        nb::arg("progress").none(), nb::arg("message").none());
  bind_pieces(m);
}

}  // namespace nibble::python
