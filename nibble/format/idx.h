// IDX: the file format of MNIST (yann.lecun.com/exdb/mnist): a magic number, extents, bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/core/tensor.h"

namespace nibble {

struct IdxData {
  Shape shape;                  ///< images [n, 28, 28], labels [n]
  std::vector<uint8_t> values;  ///< row-major, one byte an element
};

/// Reads an IDX file of unsigned bytes, gzipped or not (told by its first bytes, not its name).
/// Error{corrupt} where the number of elements is not exactly what the extents say; never inflates
/// more than that, nor than 1032 times the file (deflate's limit). Where elements are many times
/// the file, all of it is checked before any is kept, so that a bomb stays small.
IdxData read_idx(const std::string& path);
/// The extents alone: what does not fit together is refused before anything is inflated.
Shape read_idx_shape(const std::string& path);

struct MnistPaths {
  std::string images, labels;
};

/// The images and labels in a folder: train-images-idx3-ubyte and its labels, or those of t10k,
/// with or without .gz, "-idx" or ".idx"; train is preferred. Error{not_found} says what was looked
/// for.
MnistPaths find_mnist(const std::string& folder);

}  // namespace nibble
