# What `cmake --install` puts where, and how others find it there. The list of files is in docs/install.md; tests/install compares.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/job)

install(TARGETS job EXPORT jobTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/job DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN test.h EXCLUDE)
install(EXPORT jobTargets NAMESPACE job:: DESTINATION ${package_folder})
if(TARGET job_test)   # a component of its own, for packages of their own
  install(TARGETS job_test EXPORT jobTestTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT test)
  install(FILES include/job/test.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/job COMPONENT test)
  install(EXPORT jobTestTargets NAMESPACE job:: DESTINATION ${package_folder} COMPONENT test)
endif()
configure_package_config_file(tools/cmake/jobConfig.cmake.in jobConfig.cmake INSTALL_DESTINATION ${package_folder})
# Before 1.0 a minor version may change names.
write_basic_package_version_file(jobConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/jobConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/jobConfigVersion.cmake
        DESTINATION ${package_folder})

# Folders in job.pc and job-test.pc begin at the file itself, so that the tree may be moved; but for those that were asked for by an absolute path.
set(JOB_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  file(RELATIVE_PATH up ${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  string(REGEX REPLACE "/$" "" up ${up})
  set(JOB_PC_PREFIX "\${pcfiledir}/${up}")
endif()
foreach(folder INCLUDEDIR LIBDIR)
  set(JOB_PC_${folder} "\${prefix}/${CMAKE_INSTALL_${folder}}")
  if(IS_ABSOLUTE ${CMAKE_INSTALL_${folder}})
    set(JOB_PC_${folder} ${CMAKE_INSTALL_${folder}})
  endif()
endforeach()
configure_file(tools/cmake/job.pc.in job.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/job.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(TARGET job_test)
  configure_file(tools/cmake/job-test.pc.in job-test.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/job-test.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT test)
endif()

install(FILES tools/gdb/job.py DESTINATION ${CMAKE_INSTALL_DATADIR}/libjob/gdb)

# Manual pages, if scdoc is there: their names are those of the functions, so the folder is installed as it is.
find_program(SCDOC scdoc)
if(SCDOC)
  file(GLOB pages CONFIGURE_DEPENDS docs/man/* include/job/*.h)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/man)
  add_custom_command(
    OUTPUT ${folder}.stamp
    COMMAND ${PROJECT_SOURCE_DIR}/docs/man/build ${PROJECT_SOURCE_DIR} ${PROJECT_VERSION} ${folder}
    COMMAND ${CMAKE_COMMAND} -E touch ${folder}.stamp
    DEPENDS ${pages}
    VERBATIM)
  add_custom_target(job_man ALL DEPENDS ${folder}.stamp)
  install(DIRECTORY ${folder}/ DESTINATION ${CMAKE_INSTALL_MANDIR})
else()
  message(STATUS "no manual pages: scdoc is missing")
endif()
