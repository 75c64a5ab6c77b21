# The kernel and Linear tests again under each cap of NIBBLE_ISA. A cap above what the processor has runs what it has; each run
# prints which kernels really ran.
foreach(isa ref avx2 avxvnni avx512)
  foreach(program kernels nn)
    if(TARGET test_${program})
      add_test(NAME ${program}_under_${isa}
               COMMAND test_${program} --gtest_filter=Kernels.*:TableKernels.*:Linear.*
               WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
      set_tests_properties(${program}_under_${isa} PROPERTIES ENVIRONMENT "NIBBLE_ISA=${isa}" TIMEOUT 600)
    endif()
  endforeach()
endforeach()
