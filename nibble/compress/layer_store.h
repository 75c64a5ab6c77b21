// What a calibrated run has finished, layer by layer: in memory, or in a folder from which a run
// that was killed goes on.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/core/tensor_source.h"
#include "nibble/quant/method.h"

namespace nibble {

/// What became of one weight, for progress, tests and nibble.json.
struct LayerReport {
  std::string name;
  double error = -1, rtn_error = -1, damping = 0;
  bool fell_back = false;
  std::string note;
  int64_t tokens = -1;  ///< that it was calibrated on; -1: it was not
  int expert = -1;      ///< whose it is; -1: no expert's
  double mixed = 0;     ///< as InputStatistics has it
  bool operator==(const LayerReport&) const = default;
};

/// One object of a JSON array.
void write_report(const LayerReport& report, JsonWriter& out);

struct FinishedWeight {
  std::string name;
  QuantizedTensor weight;
  LayerReport report;
};

class LayerStore {
 public:
  virtual ~LayerStore() = default;
  /// True where all of a layer (-1: what stands outside of them) is there.
  virtual bool has(int layer) const = 0;
  virtual void put(int layer, std::vector<FinishedWeight> weights) = 0;
  virtual QuantizedTensor get(int layer, const std::string& name,
                              const QuantScheme& scheme) const = 0;
  /// In the order in which the layers were put.
  virtual std::vector<LayerReport> reports() const = 0;
};

std::unique_ptr<LayerStore> memory_store();

/// A folder OUT.resume: `fingerprint.txt` says which run it belongs to; each finished layer has a
/// file of tensors and, written after it, one of reports and a checksum over both. Nothing is
/// created before the first put, and nothing is removed that a run of nibble did not put there.
class FolderStore : public LayerStore {
 public:
  /// Error{io, cannot_create} where something else has the name of the folder.
  static void refuse_foreign(const std::string& folder);

  /// With `resume` goes on from what is there where the fingerprint is the same; else, and for
  /// layers whose files are damaged, it starts anew and says so in `warnings`. Without `resume`
  /// what is there is removed at the first put.
  FolderStore(std::string folder, std::string fingerprint, bool resume,
              std::vector<std::string>& warnings);
  bool has(int layer) const override;
  void put(int layer, std::vector<FinishedWeight> weights) override;
  QuantizedTensor get(int layer, const std::string& name, const QuantScheme& scheme) const override;
  std::vector<LayerReport> reports() const override;
  int64_t layers_found() const { return found_; }
  /// Removes the layers, and the folder where that leaves nothing in it: the run has succeeded.
  void remove();
  /// The run has failed: removes what it put there, where not `useful` even the finished layers; a
  /// folder that is another run's stays.
  void fail(bool useful);

 private:
  void open_layers(std::vector<std::string>& warnings);
  void open_layer(int layer);
  void begin();
  std::string file(int layer, std::string_view end) const;

  std::string folder_, fingerprint_;
  bool begun_ = false;
  int64_t found_ = 0;
  std::map<int, std::unique_ptr<TensorSource>> layers_;
  std::vector<std::pair<int, std::vector<LayerReport>>> reports_;
};

}  // namespace nibble
