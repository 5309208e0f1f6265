// One instruction set's table of kernels; compiled once for each set with its own flags and SC_ISA.
#include "table.h"
#include "linear.h"
#include "adam.h"
#include "attention.h"
#include "elementwise.h"
#include "embedding.h"
#include "limits.h"
#include "norm.h"
#include "outer.h"
#include "sddmm.h"
#include "topk.h"

namespace ISA_NS {
static const Kernels table = {
#if SC_ISA == 2
    "avx512",
#elif SC_ISA == 1
    "avx2",
#else
    "plain",
#endif
    peak_fma, peak_read, embed, embed_backward, positions, positions_backward, norm, norm_backward, copy, sum, spmm_plan,
    spmm, outer, sddmm, embed_backward_kept, bias_backward, nonlinearity, nonlinearity_backward, abs_topk,
    nonlinearity_topk, abs_topk_backward, mask, mask_backward, patch, patch_backward, attention, attention_backward,
    add_rows, add_row, add_rows_backward, unembed_loss, sum_squares, adam_dense, adam_rows, adam_kept,
};
}  // namespace ISA_NS

#if SC_ISA == 2
const Kernels* kernels_avx512() { return &avx512::table; }
#elif SC_ISA == 1
const Kernels* kernels_avx2() { return &avx2::table; }
#else
const Kernels* kernels_plain() { return &plain::table; }
#endif
