{
  # One binary for every machine: the kernels are compiled once for each instruction set and chosen at run time.
  "variables": {
    "kernel_flags": ["-std=c++17", "-O3", "-Wall", "-Wextra", "-Wno-uninitialized", "-Wno-maybe-uninitialized", "-Wno-unknown-pragmas", "-Wno-psabi", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"],
    "avx2_flags": ["-mavx2", "-mfma"],
    "avx512_flags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"]
  },
  "target_defaults": {
    "cflags_cc!": ["-std=gnu++17", "-O2"],
    "conditions": [["OS=='win'", {"msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/std:c++17"]}}}]]
  },
  "targets": [
    {
      "target_name": "kernels_plain",
      "type": "static_library",
      "sources": ["native/kernels/kernels.cc"],
      "defines": ["SC_ISA=0"],
      "cflags_cc": ["<@(kernel_flags)"],
      "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)"]}
    },
    {
      "target_name": "sparse_native",
      "sources": ["native/addon.cc", "native/activations.cc", "native/param.cc", "native/optimizer.cc", "native/pool.cc", "native/queue.cc", "native/memory.cc"],
      "dependencies": ["kernels_plain"],
      "cflags_cc": ["-std=c++17", "-O2", "-Wall", "-Wextra"],
      "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["-std=c++17", "-O2"]},
      "conditions": [["target_arch=='x64'", {"dependencies": ["kernels_avx2", "kernels_avx512"]}]]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "kernels_avx2",
          "type": "static_library",
          "sources": ["native/kernels/kernels.cc"],
          "defines": ["SC_ISA=1"],
          "cflags_cc": ["<@(kernel_flags)", "<@(avx2_flags)"],
          "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(avx2_flags)"]}
        },
        {
          "target_name": "kernels_avx512",
          "type": "static_library",
          "sources": ["native/kernels/kernels.cc"],
          "defines": ["SC_ISA=2"],
          "cflags_cc": ["<@(kernel_flags)", "<@(avx512_flags)"],
          "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(avx512_flags)"]}
        }
      ]
    }]
  ]
}
