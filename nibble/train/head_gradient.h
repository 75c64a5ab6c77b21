// What stands behind a decoder's last layer, forward and backward: final norm, lm_head and the loss
// of its logits.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "nibble/model/parameter_finder.h"
#include "nibble/train/row_norm.h"

namespace nibble {

/// What it multiplies with, or where the gradients of that are added up (as LayerParts).
template <class Matrix, class V>
struct HeadParts {
  NormParts<V> norm;
  Matrix matrix;  ///< [vocab_size, hidden_size]
};
/// The matrix may lack its transposed copy: with a wide vocabulary it is what is largest. draw()
/// reads it as T, whether it is there as bf16 or not.
template <class T>
using HeadView = HeadParts<MatrixView<T>, const T>;
template <class T>
using HeadSlopes = HeadParts<MatrixSlope<T>, T>;

/// The parameters of a head in memory of their own, without the transposed copy.
struct HeadWeights {
  /// Throws what ParameterFinder throws.
  HeadWeights(const DecoderConfig& config, const ParameterFinder& find);
  /// Refers to this.
  HeadView<float> view() const;
  int64_t n, k;
  Buffer<float> gain, bias;  ///< of the final norm; empty where it has none
  Buffer<float> weight;
};

template <class T>
class HeadGradient;

/// What a teacher says of the rows of a chunk: where its own head reads them.
template <class T>
struct TeacherRows {
  HeadGradient<T>* head;
  const HeadView<T>* weights;
  const T* x;     ///< [rows, width]
  int64_t width;  ///< its hidden size
  double share;   ///< of KL(teacher || student) in the loss; the rest is the labels'
};

/// The label of one row for one draw, given the model's probabilities [vocab_size] there.
template <class T>
using LabelChoice = std::function<int32_t(int64_t row, int draw, std::span<const T> p)>;

/// Scratch memory of one thread. config and ops must outlive it. It works on as many rows at a time
/// as a bound on the memory of their logits allows; x has kTrainSlack behind it.
template <class T>
class HeadGradient {
 public:
  HeadGradient(const DecoderConfig& config, const TrainOps<T>& ops)
      : config_(config),
        ops_(ops),
        products_(ops),
        norm_(config.norm, config.norm_eps, config.hidden_size) {}

  /// Returns the sum of the losses -log p(target) of rows x [rows, hidden_size], or of what
  /// `teacher` makes of them (its vocabulary is the same); rows whose target is negative have none.
  /// Unless `into` is null, dx [rows, hidden_size] = the gradient of scale times it, and those of
  /// weights are added to `into`.
  double run(const HeadView<T>& w, int64_t rows, const T* x, const int32_t* targets, T scale, T* dx,
             const HeadSlopes<T>* into, const TeacherRows<T>* teacher = nullptr);

  /// The labels' part of what run() has seen last, by whatever it was that it descends.
  double label_loss() const { return label_loss_; }

  /// out [draws, rows, hidden_size] = the gradients of -log p(label) of every row by x, for labels
  /// that are chosen by what the model itself says: what its Fisher information is made of. A
  /// draw's labels are chosen in the order of the rows. Error{corrupt} where the logits are not
  /// finite.
  void draw(const HeadView<T>& w, int64_t rows, const T* x, int draws, const LabelChoice<T>& choose,
            T* out);

  /// The logits [vocab_size] of one row; they live until the next call.
  std::span<const T> logits(const HeadView<T>& w, const T* x);

  /// What draw() takes for so many rows beside what it is given.
  static int64_t work_bytes(const DecoderConfig& config, int64_t rows);

 private:
  void reserve(int64_t rows, bool transposed);
  void forward(const HeadView<T>& w, int64_t rows, const T* x);
  void multiply_turned(const MatrixView<T>& m);
  void cap();
  double learn_labels(const int32_t* targets, T scale);
  double learn_teacher(const int32_t* targets, T scale, const TeacherRows<T>& teacher,
                       int64_t first);
  double learn_row(int32_t target, T scale, double share, T* t, T* z);
  void backward(const HeadView<T>& w, T* dx, const HeadSlopes<T>& into);
  void expect(const HeadView<T>& w);
  void gradient_of_label(const HeadView<T>& w, int64_t row, int32_t label);

  const DecoderConfig& config_;
  const TrainOps<T>& ops_;
  MatrixProducts<T> products_;
  const int64_t ld_ = round_up(config_.vocab_size, kTrainAlign);
  int64_t capacity_ = 0, rows_ = 0;  // rows in use
  double label_loss_ = 0;
  RowNorm<T> norm_;
  const T* read_ = nullptr;        // by the matrix
  Buffer<T> gradient_, expected_;  // [rows, hidden_size]
  Buffer<T> sum_, gap_;            // [rows]
  std::vector<int32_t> labels_;    // of rows that have none, any
  Buffer<T> coded_;                // what is read, where inputs are rounded
  std::vector<T> spoken_;          // logits of a teacher's row
  Buffer<T> logits_;               // [rows, ld]; then their gradient, or probabilities
  // Where logits are capped, [rows, ld]: dlogits / d(what the matrix gave), and p times that.
  Buffer<T> cap_slopes_, weighted_;
  // For a matrix without its transposed copy: what it reads and gives, transposed.
  Buffer<T> turned_, columns_;
  StoredProducts<T> stored_{ops_};
};

/// The label that u, in [0, 1), draws from p.
int32_t draw_label(std::span<const float> p, double u);

}  // namespace nibble
