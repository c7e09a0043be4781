export const landing = {
  title: 'Hội nghị nhiều điểm cầu',
  choose: 'Bạn là ai?',
  phone: 'Đại biểu',
  phone_hint: 'Dùng điện thoại: điểm danh, đọc tài liệu, đăng ký phát biểu, đặt câu hỏi.',
  hall: 'Máy tính của điểm cầu',
  hall_hint: 'Máy nối màn hình lớn, máy ảnh và micro của hội trường.',
  host: 'Ban tổ chức',
  host_hint: 'Điều hành cuộc họp, danh sách, tài liệu, câu hỏi.',
  have_code: 'Có mã? Nhập vào đây',
}
